"""Exit codes of `hgq2`, except 0 for success."""

MISMATCH = 1
"""The model and its integers differ."""
OVER_BUDGET = 1
"""No model of a training was within its budget."""
WRONG = 2
"""An input cannot be used; a message says which, where, and what is allowed."""
DEFECT = 3
"""A fault of this program or of a plugin."""
UNHEALTHY = 4
"""`doctor --strict` found an error."""
INTERRUPTED = 130
"""Ctrl-C: by the convention of shells, 128 plus the number of the signal."""
UNREAD = 141
"""The output was closed before its end, as in `hgq2 list | head -1`: 128 plus the number of SIGPIPE."""
