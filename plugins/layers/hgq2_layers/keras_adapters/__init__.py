"""Exact arithmetic and cost of Keras' own layers, which stand in a quantized model as they are."""
