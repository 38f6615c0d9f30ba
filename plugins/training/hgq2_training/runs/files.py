"""The names of the files in a run directory."""

CONFIG, MODEL, FROZEN, METRICS = "config.yaml", "model.keras", "frozen.keras", "metrics.json"
HISTORY, REPORT, CHECKPOINT = "history.json", "report.html", "checkpoint.npz"
FRONT, FRONT_LIST = "front", "front.json"
DATA, LOCK = "data.json", ".lock"
TRIAL = "trial"
"""A folder of a sweep's own, which may be there before the run."""
