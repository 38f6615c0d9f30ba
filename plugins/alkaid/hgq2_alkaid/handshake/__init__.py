"""Circuits that take a sample when they are ready for it: one block of positions at a time, or one step of a stream."""
