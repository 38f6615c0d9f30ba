"""Spiking neurons: membranes that integrate, leak and fire."""
