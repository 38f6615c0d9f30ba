"""Callbacks: schedules, the Pareto front, and checkpoints to resume a run."""
