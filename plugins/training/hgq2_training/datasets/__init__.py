"""Data sets: files and shipped data in, standardized `Splits` out."""
