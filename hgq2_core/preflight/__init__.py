"""What must go together before training: data, model, loss, metrics, and what callbacks monitor.

A rule yields what it finds as pairs of a place in the config and a message.
"""
