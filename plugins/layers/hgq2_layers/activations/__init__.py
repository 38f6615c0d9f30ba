"""Functions of one number: piecewise linear ones, exact as they are, and lookup tables."""
