"""Strict schemas: the base model, schemas from typed signatures, and Keras objects by name.

Takes plain data from files and constructors; returns validated values, or errors with a place. Depends on no kind.
"""
