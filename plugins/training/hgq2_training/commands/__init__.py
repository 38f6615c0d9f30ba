"""Subcommands of `hgq2` for runs; a module imports no backend until its command runs."""
