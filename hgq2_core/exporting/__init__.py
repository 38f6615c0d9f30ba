"""From a calibrated model to an exporter of a plugin: the protocol, the checks before it, and its report."""
