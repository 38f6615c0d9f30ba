"""Callbacks of a training: schedules, the Pareto front, and what makes a run resumable."""
