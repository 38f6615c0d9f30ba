"""The end of a run: calibration, measurement on the test split, and what is saved of both."""

from __future__ import annotations

import importlib.metadata
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from hgq2_core import calibrate, doctor, ebops, freeze, plugins, summary, verify
from hgq2_core.config.model import Training
from hgq2_core.data.feed import for_model
from hgq2_core.data.splits import Splits
from hgq2_core.diagnosis.report import Finding
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.exporting.luts import estimate_luts
from hgq2_core.files import read_json, write_json, write_text
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model.calibration import uncalibrated
from hgq2_core.model.number_format import format_count
from hgq2_core.model.verification import VerifyReport
from hgq2_training.report.analysis import analyze
from hgq2_training.report.html import page
from hgq2_training.runs.directory import (
    load_recorded,
    load_run,
    read_metrics,
    save,
)
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.files import (
    ANALYSIS,
    FROZEN,
    HISTORY,
    METRICS,
    MODEL,
    REPORT,
    START,
)
from hgq2_training.runs.from_python import not_in_config
from hgq2_training.runs.front import recommended
from hgq2_training.runs.outcome import divergence, outcome, told, worst_first
from hgq2_training.runs.report import contents_of


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: the run directory.
        metrics: the contents of `metrics.json`.
        verification: the comparison with integers on the test split.
    """

    directory: Path
    metrics: dict[str, Any]
    verification: VerifyReport


def finalize_run(
    model: keras.Model,
    splits: Splits,
    directory: Path,
    seconds: float,
    margin: int = 0,
    training: Training | None = None,
    stopped: str = "",
) -> Run:
    """Calibrate on the training split, measure and verify on the test split, freeze, and save.

    Args:
        model: a trained and compiled model.
        splits: the data.
        directory: the run directory.
        seconds: duration of the training, to record.
        margin: integer bits in addition to those that the training split needs.
        training: how the model was trained.
        stopped: why it ended before its last epoch.

    Raises:
        ConfigError: the training diverged.
        BudgetError: the calibrated model is over the budget.
    """
    history = read_json(directory / HISTORY, [])
    if diverged := divergence(model, history):
        raise ConfigError(diverged)
    splits = for_model(splits, model)
    before = ebops(model) if any(uncalibrated(model)) else read_metrics(directory).get("ebops_before_calibration")
    calibrate(model, splits.train.x, margin=margin)
    budget = None if training is None or training.budget is None else training.budget
    luts = estimate_luts(model) if budget is not None and budget.luts is not None else None
    if budget is not None and (found := ebops(model) if luts is None else luts.luts) > budget.most:
        raise BudgetError(
            f"training.budget: calibrated with a margin of {margin} bits, the model has {format_count(found)} "
            f"{budget.unit}. Allowed: {format_count(budget.most)}. Take a smaller margin, or train with a larger "
            "budget or longer."
        )
    save(model, directory / MODEL)
    save(freeze(model), directory / FROZEN)
    verification = verify(model, splits.test.x)
    stopped = stopped or read_metrics(directory).get("stopped", "")
    from_python, init_from = not_in_config(directory), read_json(directory / START, {})
    metrics: dict[str, Any] = {
        "test": evaluate(model, splits.test),
        "ebops": ebops(model),
        "ebops_before_calibration": before,
        **({} if budget is None else {"budget": budget.model_dump(exclude_none=True)}),
        **({} if luts is None else {"luts": luts.to_dict()}),
        **({"init_from": init_from} if init_from else {}),
        **({"stopped": stopped} if stopped else {}),
        **({"not_in_config": from_python} if from_python else {}),
        "verify": {"mismatches": verification.mismatches, "samples": verification.samples},
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    if best := recommended(directory, None if budget is None else budget.ebops or math.inf):
        metrics["recommended"] = best.to_dict()
    findings: list[Finding] = []
    analysis: dict[str, Any] = {}
    # The cost of a front falls on purpose, and each of its models settles by itself.
    moved = history if training is None or training.front is None else []
    health = doctor(model, splits.test.x, splits.test.y)
    with told(findings, model.name, "the analysis for its page"):
        analysis = analyze(model, splits, load_recorded(directory), health)
        write_json(directory / ANALYSIS, analysis)
    with told(findings, model.name, "what the end says of the training"):
        findings += outcome(model, splits.test, metrics["test"], moved, analysis.get("outputs"))
    findings += health.findings
    metrics["findings"] = [finding.to_dict() for finding in worst_first(findings)]
    with told(findings, model.name, "its page"):
        name = directory.resolve().name
        write_text(directory / REPORT, page(contents_of(directory, name, summary(model), metrics, analysis)))
    metrics["findings"] = [finding.to_dict() for finding in worst_first(findings)]
    write_json(directory / METRICS, metrics)
    return Run(directory, metrics, verification)


@preserve_rng()
def recalibrate(directory: str | Path, margin: int = 0) -> Run:
    """Calibrate a run's model again, on its training data, and renew the results.

    Args:
        directory: the run directory.
        margin: integer bits in addition to those that the training split needs.
    """
    config, model = load_run(directory)
    seconds = float(read_metrics(directory).get("seconds", 0.0))
    return finalize_run(model, config.load_data(), Path(directory), seconds, margin, config.training)


def versions() -> dict[str, str]:
    """Return the versions of the distributions that a run depends on."""
    names = {"hgq2-core", "keras", "numpy", keras.backend.backend()}
    names |= {plugin.distribution for plugin in plugins() if plugin.distribution}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a distribution"
    return versions
