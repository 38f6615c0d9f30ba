"""Convolutions: plain, transposed, depthwise and separable, over windows of spatial axes."""
