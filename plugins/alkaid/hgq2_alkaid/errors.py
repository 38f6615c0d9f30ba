"""The error of operations that circuits cannot do."""


class Unsupported(Exception):
    """An operation has no circuit; tracing turns this into an error that names the layer."""
