"""Recurrent layers: cells, and the loop over the steps."""
