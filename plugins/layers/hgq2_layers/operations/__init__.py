"""Operations without weights: sums and means over axes."""
