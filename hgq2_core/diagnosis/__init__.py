"""What `doctor` finds in a model: one inspection run over data, and checks that read what it recorded.

`inspection` and `recording` observe, `checks` judge, `report` is what the user sees.
"""
