"""Networks of lookup tables: a table for each pair of an input and an output, and sums."""
