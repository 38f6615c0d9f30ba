"""The rules for exporters: their reports, and that what they write repeats the integers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import HGQ2Error, ToolError
from hgq2_core.exporting.export import REPORT, estimate, export
from hgq2_core.exporting.exporter import ExportReport, Simulation
from hgq2_core.model.freezing import freeze
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, require, run

UNKNOWN = "no_such_option"


def check_exporter(kind: str, model: keras.Model, x: Any) -> None:
    """Check that an exporter keeps the rules that `export`, `verify` and the kit of layers rely on.

    Args:
        kind: the exporter's, full or short.
        model: a small one, calibrated, whose layers the exporter takes.
        x: inputs of the model.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_exporter("acme.vectors", model, np.ones((3, 4), "float32"))
    """
    run(kind, exporter_checks(kind, model, x))


def exporter_checks(kind: str, model: keras.Model, x: Any) -> Iterator[Check]:
    """Return the checks of `check_exporter` one by one, for `parametrize_with_checks`.

    Args:
        kind: see `check_exporter`.
        model: see `check_exporter`.
        x: see `check_exporter`.
    """
    subject = _Subject(registry().resolve("exporters", kind), model, x)
    yield from checks((has_its_methods,), subject)
    yield from checks(RULES, subject, after=has_its_methods.__name__)


@dataclass(frozen=True)
class _Subject:
    kind: str
    model: keras.Model
    x: Any

    def exporter(self) -> Any:
        """Return the exporter, made anew."""
        return registry().load("exporters", self.kind)()


def has_its_methods(subject: _Subject) -> None:
    """An exporter defines estimate(), export(), simulate() and mismatches(), and is made without arguments."""
    cls = registry().load("exporters", subject.kind)
    problem = PROTOCOLS["exporters"](cls)
    require(not problem, f"{cls.__name__} {problem}")
    subject.exporter()


def estimates(subject: _Subject) -> None:
    """estimate() returns an ExportReport, and no path."""
    report = estimate(subject.model, subject.kind)
    require(isinstance(report, ExportReport), f"It gave a {type(report).__name__}.")
    require(report.path is None, f"Its path is {report.path}.")
    require(report.exporter == subject.kind, f"It names the exporter {report.exporter!r}.")


def writes_and_simulates(subject: _Subject) -> None:
    """export() writes files, and simulate() finds no difference in their test vectors."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "exported"
        report = export(subject.model, subject.kind, path, subject.x)
        require(isinstance(report, ExportReport), f"export() gave a {type(report).__name__}.")
        require(any(each.name != REPORT for each in path.rglob("*")), "Nothing was written.")
        with suppress(ToolError):  # a simulator that is not installed
            found = subject.exporter().simulate(path)
            require(isinstance(found, Simulation), f"simulate() gave a {type(found).__name__}.")
            require(found.samples > 0, "There were no samples.")
            require(found.mismatches == 0, f"{found}.")


def repeats_the_integers(subject: _Subject) -> None:
    """mismatches() is 0 for a model that the exporter takes."""
    found = subject.exporter().mismatches(freeze(subject.model), subject.x)
    require(found == 0, f"It is {found}.")


def refuses_unknown_options(subject: _Subject) -> None:
    """An option that there is not is refused by an HGQ2Error."""
    try:
        estimate(subject.model, subject.kind, **{UNKNOWN: 1})
    except HGQ2Error:
        return
    require(False, f"{UNKNOWN}=1 was accepted.")


RULES = (estimates, writes_and_simulates, repeats_the_integers, refuses_unknown_options)
