"""Runs: from a config to a directory with models, metrics and history.

`directory` defines the files; `train`, `results` and `convert` write them, in an order that is safe when the process is
killed.
"""
