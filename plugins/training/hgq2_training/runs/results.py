"""The end of a run: trimming, calibration, measurement on the test split, and what is saved of them."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from hgq2_core import calibrate, doctor, ebops, freeze, plugins, summary, trim_bits, verify
from hgq2_core.config.model import Training
from hgq2_core.data.feed import for_model
from hgq2_core.data.splits import Splits
from hgq2_core.diagnosis.report import DoctorReport, Finding
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.exporting.luts import LutEstimate, estimate_luts
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
    remove_results,
    save,
)
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.failures import NOT_VERIFIED, Failures, with_saved_model
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
from hgq2_training.runs.outcome import divergence, outcome, worst_first
from hgq2_training.runs.report import contents_of


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: the run directory.
        metrics: the contents of `metrics.json`.
        verification: the comparison with integers on the test split; None if it failed.
        failures: errors after the training that cost parts of the results; the metrics have a finding for each.
    """

    directory: Path
    metrics: dict[str, Any]
    verification: VerifyReport | None
    failures: tuple[Exception, ...] = ()


def finalize_run(
    model: keras.Model,
    splits: Splits,
    directory: Path,
    seconds: float,
    margin: int = 0,
    training: Training | None = None,
    stopped: str = "",
) -> Run:
    """Trim, calibrate on the training split, measure and verify on the test split, freeze, and save.

    The trained model is saved before anything else; results of before stay until the new model is measured. Where
    verification, doctor or page fail, the others are still made.

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
    splits, failures = for_model(splits, model), Failures(model.name)
    budget = None if training is None else training.budget
    known = read_metrics(directory)
    before = ebops(model) if any(uncalibrated(model)) else known.get("ebops_before_calibration")
    save(model, directory / MODEL)
    with with_saved_model(directory / MODEL):
        trim_bits(model)
        calibrate(model, splits.train.x, margin=margin)
        luts = _within(training, model, margin)
        frozen, test = freeze(model), evaluate(model, splits.test)
        remove_results(directory)  # of another calibration
        save(model, directory / MODEL)
        save(frozen, directory / FROZEN)
    verification: VerifyReport | None = None
    with failures.told("its arithmetic could not be verified", NOT_VERIFIED):
        verification = verify(model, splits.test.x)
    stopped = stopped or known.get("stopped", "")
    from_python, init_from = not_in_config(directory), read_json(directory / START, {})
    compared = verification and {"mismatches": verification.mismatches, "samples": verification.samples}
    metrics: dict[str, Any] = {
        "test": test,
        "ebops": ebops(model),
        "ebops_before_calibration": before,
        **({} if budget is None else {"budget": budget.model_dump(exclude_none=True)}),
        **({} if luts is None else {"luts": luts.to_dict()}),
        **({"init_from": init_from} if init_from else {}),
        **({"stopped": stopped} if stopped else {}),
        **({"not_in_config": from_python} if from_python else {}),
        "verify": compared,
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    if best := recommended(directory, None if budget is None else budget.ebops or math.inf):
        metrics["recommended"] = best.to_dict()
    # The cost of a front falls on purpose, and each of its models settles by itself.
    moved = history if training is None or training.front is None else []
    _judge(model, splits, directory, metrics, moved, failures)
    write_json(directory / METRICS, metrics)
    return Run(directory, metrics, verification, tuple(failures.errors))


def _within(training: Training | None, model: keras.Model, margin: int) -> LutEstimate | None:
    """Check that a calibrated model is within its budget; return its LUTs where these are bounded."""
    if training is None or training.budget is None:
        return None
    budget = training.budget
    luts = estimate_luts(model) if budget.luts is not None else None
    found = ebops(model) if luts is None else luts.luts
    if found > budget.most:
        raise BudgetError(
            f"training.budget: calibrated with a margin of {margin} bits, the model has {format_count(found)} "
            f"{budget.unit}. Allowed: {format_count(budget.most)}. Take a smaller margin, or train with a larger "
            "budget or longer."
        )
    return luts


def _judge(
    model: keras.Model,
    splits: Splits,
    directory: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, Any]],
    failures: Failures,
) -> None:
    """Add what doctor and the end of the training find to the metrics, and write analysis and page."""
    findings: list[Finding] = []
    health: DoctorReport | None = None
    analysis: dict[str, Any] = {}
    with failures.told("what doctor finds could not be told"):
        health = doctor(model, splits.test.x, splits.test.y)
        findings += health.findings
    with failures.told("the analysis for its page could not be made"):
        analysis = analyze(model, splits, load_recorded(directory), health)
        write_json(directory / ANALYSIS, analysis)
    with failures.told("what the end says of the training could not be made"):
        findings = outcome(model, splits.test, metrics["test"], history, analysis.get("outputs")) + findings
    metrics["findings"] = [finding.to_dict() for finding in worst_first([*failures.findings, *findings])]
    with failures.told("its page could not be made"):
        name = directory.resolve().name
        write_text(directory / REPORT, page(contents_of(directory, name, summary(model), metrics, analysis)))
    metrics["findings"] = [finding.to_dict() for finding in worst_first([*failures.findings, *findings])]


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
