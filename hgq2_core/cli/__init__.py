"""The command line, `hgq2`."""
