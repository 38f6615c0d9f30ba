"""A model as a file: YAML or JSON in, a Keras model and a complete config out.

`reader` reads a document, `specs` validates one object and `nodes` one node of the graph, `graph` connects them, and
`model` is the whole config. `preflight` checks before training that data, model, loss and callbacks fit together.
"""
