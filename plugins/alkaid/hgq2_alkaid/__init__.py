"""Export of quantized Keras models to RTL through alkaid."""

__version__ = "0.1.0"
