"""Plugins and what they offer: found once by entry points, loaded one by one, looked up by kind.

`loading` turns entry points into plugins with a state; `registry` turns a kind into its class, and back.
"""
