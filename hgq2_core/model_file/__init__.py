"""Read a model file from anyone: what it holds is checked before anything is built from it."""
