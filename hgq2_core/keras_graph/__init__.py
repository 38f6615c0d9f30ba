"""Keras as it is: graphs of layers, the few private names that cannot be avoided, and its random state.

The rooms above ask here for layers, edges and evaluations; only `private` knows what Keras does not document.
"""
