"""Data sets: `Splits` from files of the user and from included data."""
