"""Layers of several inputs: element by element, concatenated, or contracted."""
