"""Checks before training that data, model, loss, metrics and the callbacks' monitors fit together.

A rule yields its findings as pairs of a place in the config and a message.
"""
