"""Maxima and averages over windows and over all positions."""
