"""The findings of `doctor` about a model: one run over data is recorded, and checks evaluate it.

`recording` and `inspection` collect, `checks` evaluate, `report` presents.
"""
