"""A model as a file: YAML or JSON in, a Keras model and a complete config out.

`reader` parses, `specs` and `nodes` validate one object and one line each, `graph` connects them, `model` is the whole.
"""
