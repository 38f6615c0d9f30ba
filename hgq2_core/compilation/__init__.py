"""Compiled training and prediction on torch: a whole step is traced once and compiled as one graph.

Data flows one way: `tracing` records the operations of a step as a graph of tensors, with `random` keeping what is
drawn random and `counters` what is decided by counting; `inductor` compiles a graph; `functions` keeps one for each of
the `forms` that steps have, and gives it the state of the model; and `jit` hands those functions to the model.
`allocator` is for every backend: the memory of one step serves the next.
"""
