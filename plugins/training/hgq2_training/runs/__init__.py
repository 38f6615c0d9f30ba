"""Runs: a config in, a directory with models, metrics and history out.

`directory` says which file is what; `train` and `convert` write them, in an order that survives being killed.
"""
