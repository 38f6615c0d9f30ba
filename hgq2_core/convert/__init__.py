"""Conversion of a plain Keras model to quantized layers, with its weights.

The graph is read once, rules, adapters and kinds decide what becomes of each layer, and the new graph is built.
"""
