"""What is installed: plugins, found once by entry points and loaded one by one, their kinds, and the backend.

`loading` turns entry points into plugins with a state; `registry` maps kinds to classes and back. `abstract` refuses a
class that lacks methods, `known_plugins` says what to install for a kind, `backends` chooses a Keras backend.
"""
