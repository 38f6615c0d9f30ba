"""Export of quantized Keras models to HLS C++ through hls4ml."""

__version__ = "0.1.0"
