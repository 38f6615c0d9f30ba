"""Strict schemas: the base model, schemas from typed signatures, and Keras objects by name.

Text and plain data come in from files and constructors; validated values and errors with a place go out. Knows no kind.
"""
