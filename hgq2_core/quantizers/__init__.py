"""What every quantizer is built on: the base of its config, the base of its Keras side, and the defaults by role.

A config is data and imports no backend; `build()` makes the Keras layer that owns the bit variables.
"""
