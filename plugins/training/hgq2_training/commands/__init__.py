"""Subcommands of `hgq2` that work on runs; each module imports no backend until its command is run."""
