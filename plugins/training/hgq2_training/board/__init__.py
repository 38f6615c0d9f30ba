"""The web view of runs: a directory is searched (`finder`), pages are made from files (`pages`) and served (`server`).

Nothing is written, nothing is kept in memory, and only this machine is answered.
"""
