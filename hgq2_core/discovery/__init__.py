"""Plugins and their kinds: found once by entry points, loaded one by one, looked up by kind.

`loading` turns entry points into plugins with a state; `registry` maps kinds to classes and back.
"""
