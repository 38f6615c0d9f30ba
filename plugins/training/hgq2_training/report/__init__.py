"""What a run looks like: figures, and one HTML page."""
