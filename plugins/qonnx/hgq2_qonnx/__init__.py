"""Export of quantized Keras models to QONNX."""

__version__ = "0.1.0"
