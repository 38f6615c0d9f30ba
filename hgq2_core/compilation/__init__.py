"""Compiled training and prediction on torch: a whole step is traced once and compiled as one graph.

Data flows one way: `steps` says what a step computes, `tracing` records the operations of one as a graph of tensors,
with `random` keeping what is drawn random, `functions` keeps a compiled graph for each form of batches and gives it the
state of the model, and `jit` hands those functions to the model.
"""
