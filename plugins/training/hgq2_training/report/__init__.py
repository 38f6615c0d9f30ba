"""The report of a run: figures, and an HTML page."""
