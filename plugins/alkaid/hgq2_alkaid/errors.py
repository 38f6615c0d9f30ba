"""What circuits cannot do."""


class Unsupported(Exception):
    """An operation without a circuit; the tracing turns it into an error that names the layer."""
