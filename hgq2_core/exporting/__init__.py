"""Export of a calibrated model by a plugin: the exporter's protocol, the checks before it, and its report."""
