"""What is done with a whole model: fit ranges, calibrate, freeze, verify, count.

A model and data go in, a report or another model comes out; nothing here is called by a layer.
"""
