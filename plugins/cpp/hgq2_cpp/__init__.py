"""Export of quantized Keras models to a C++ emulator."""

__version__ = "0.1.0"
