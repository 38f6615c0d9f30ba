"""Loading of untrusted model files: the contents are checked before anything is built from them."""
