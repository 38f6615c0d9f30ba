"""Exit codes of `hgq2`; 0 says that all is well."""

MISMATCH = 1
"""The model and its integers differ."""
WRONG = 2
"""What the user gave cannot be used; a message says what, where, and what is allowed."""
DEFECT = 3
"""A fault of this program or of a plugin."""
UNHEALTHY = 4
"""`doctor --strict` found an error."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 and the number of the signal."""
UNREAD = 141
"""Nobody read the output to its end, as in `hgq2 list | head -1`."""
