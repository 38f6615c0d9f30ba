"""The outcome of a run on a terminal: metrics, the check of its arithmetic, and the findings of `doctor`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from hgq2_core.commands.exit_codes import DEFECT, MISMATCH, WRONG
from hgq2_core.commands.printing import console, narrow, out, print_json, print_notes
from hgq2_core.diagnosis.report import SEVERITIES
from hgq2_core.errors import HGQ2Error
from hgq2_core.model.number_format import format_count, format_metric


def show_finished(finished: Any, as_json: bool) -> None:
    """Print the outcome of a finished run; exit with `MISMATCH` if its integers differ.

    If verification, doctor or page failed, exit as other commands do for such an error.

    Args:
        finished: a `Run` of `hgq2_training.runs.results`.
        as_json: whether to print only JSON on standard output.
    """
    from hgq2_core import summary
    from hgq2_training.runs.directory import load, read_data

    if as_json:
        layers = {"summary": summary(load(finished.directory)).to_dict()}
        print_json({"directory": str(finished.directory), **finished.metrics, **layers})
    else:
        out.print(narrow(summary(load(finished.directory)).__rich__()))
        for line in outcome_lines(finished.metrics, finished.directory):
            out.print(line)
        print_notes(read_data(finished.directory).get("notes", ()))
        out.print(f"run: {finished.directory}", markup=False)
    if finished.verification is not None and not finished.verification.ok:
        console(as_json).print(str(finished.verification), style="red", markup=False)
        raise typer.Exit(MISMATCH)
    if finished.failures:
        wrong = all(isinstance(error, HGQ2Error) for error in finished.failures)
        console(as_json).print("The model and its metrics are saved, but not all results.", style="red")
        raise typer.Exit(WRONG if wrong else DEFECT)


def outcome_lines(metrics: Mapping[str, Any], directory: Path) -> Iterator[Text]:
    """Yield the outcome of a run as lines of text.

    Args:
        metrics: the contents of `metrics.json`; empty if the run was stopped.
        directory: the run directory.
    """
    if not metrics:
        yield Text("No metrics: the run was stopped.", style="yellow")
        resume, end = f"hgq2 train -o {directory} --resume", f"hgq2 calibrate {directory}"
        yield Text(f"To resume: {resume}. To finish it here: {end}", style="yellow")
        return
    # The file has null in place of NaN.
    test = {name: math.nan if value is None else value for name, value in metrics["test"].items()}
    shown = ", ".join(f"{name} {format_metric(value)}" for name, value in test.items())
    yield Text(f"test: {shown}; EBOPs {_ebops(metrics)}; trained in {metrics['seconds']:.1f} s")
    if "init_from" in metrics:
        begun = metrics["init_from"]
        yield Text(f"started from {begun['run']}: {format_count(begun['taken'])} variables taken")
        for layer, why in begun["left"].items():
            yield Text(f"not taken: {layer} {why}", style="yellow")
    if "stopped" in metrics:
        yield Text(f"stopped {metrics['stopped']}")
    if "not_in_config" in metrics:
        missing = ", ".join(metrics["not_in_config"])
        yield Text(f"config.yaml cannot rebuild this run, which also has {missing}", style="yellow")
    if "budget" in metrics:
        yield from _budget(metrics)
    # A model can be exact and useless; its quality is in the other lines.
    yield _arithmetic(metrics["verify"])
    if "recommended" in metrics:
        best = metrics["recommended"]
        yield Text(f"recommended: --front {best['front']}, {best['reason']}")
    yield from _findings(metrics.get("findings"), directory)


def front_lines(directory: Path, front: str) -> Iterator[Text]:
    """Yield a model of a run's front as lines of text.

    Args:
        directory: the run directory.
        front: its number, or `best`.
    """
    from hgq2_training.runs.front import choose, read_front, recommended

    point = choose(directory, front)
    shown = ", ".join(f"{name} {format_metric(value)}" for name, value in point.metrics.items() if name != "ebops")
    place = f"front {point.number} of {len(read_front(directory))}, epoch {point.epoch + 1}"
    yield Text(", ".join(filter(None, (f"{place}: {shown}", f"EBOPs {format_count(point.ebops)}"))))
    best = recommended(directory)
    if best is not None and best.point.number == point.number:
        yield Text(f"recommended: {best.reason}")


def _arithmetic(verified: Mapping[str, int] | None) -> Text:
    if verified is None:
        return Text("arithmetic not verified: the comparison failed", style="red")
    mismatches, samples = verified["mismatches"], format_count(verified["samples"])
    if mismatches:
        return Text(f"arithmetic differs: {format_count(mismatches)} mismatches in {samples} samples", style="red")
    return Text(f"arithmetic verified: 0 mismatches in {samples} samples")


def _ebops(metrics: Mapping[str, Any]) -> str:
    before = metrics.get("ebops_before_calibration")
    after = format_count(metrics["ebops"])
    return after if before is None else f"{after} ({format_count(before)} before calibration)"


def _budget(metrics: Mapping[str, Any]) -> Iterator[Text]:
    from hgq2_training.callbacks.budget import FULL

    luts = metrics.get("luts")
    if luts is None:
        found, most, unit = metrics["ebops"], metrics["budget"]["ebops"], "EBOPs"
    else:
        found, most, unit = luts["luts"], metrics["budget"]["luts"], "LUTs"
    used = f"budget: {format_count(found)} of {format_count(most)} {unit}"
    yield Text(used if found >= FULL * most else f"{used}: the task needs no more")
    if luts is not None:
        spread = f"{format_count(luts['low'])} to {format_count(luts['high'])}"
        yield Text(f"LUTs are predicted, {spread}. {luts['remark']}", style="yellow")


def _findings(findings: list[Mapping[str, Any]] | None, directory: Path) -> Iterator[Text]:
    if findings is None:  # a run from before findings were recorded
        return
    for each in findings:
        place = ".".join(filter(None, (each["layer"], each["slot"]))) or "inputs"
        remedy = f". {each['remedy']}" if each["severity"] == "error" else ""
        yield Text.assemble((each["severity"], SEVERITIES[each["severity"]]), f" {place}: {each['seen']}{remedy}")
    yield Text(f"remedies: hgq2 doctor {directory}" if findings else "doctor: nothing to report")
