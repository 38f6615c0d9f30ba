"""Dense, EinsumDense and Embedding, and what every layer with a kernel and a bias shares."""
