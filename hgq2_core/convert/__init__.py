"""From a plain Keras model to one of quantized layers, weights kept.

The graph is read once, every layer is settled by rules, adapters and kinds, and the new graph is built.
"""
