"""Sweeps: many trainings of one config with other values, chosen by Optuna.

A sweep file (`config`) names fields of a model's config and the values to try (`space`). One process, `hgq2 sweep`,
asks the study for values (`index`), starts each trial as a process of its own (`runners`), watches its epochs
(`pruning`) and tells the study its results. A trial (`trial`) trains a run directory, and writes what it measured into
it (`trial_directory`). The study holds nothing that the directories do not: it is made again from them.
"""
