"""The report of `doctor`: findings with their remedies, and a table of the layers' health."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from typing_extensions import override

from hgq2_core.commands.notebook import Shown
from hgq2_core.model.number_format import format_share

Severity = Literal["error", "warning", "note"]
SEVERITIES: Mapping[Severity, str] = {"error": "red", "warning": "yellow", "note": "dim"}
"""From worst to least, with the colours for printing."""


@dataclass(frozen=True)
class Check:
    """A kind of problem that `doctor` looks for.

    Args:
        name: a short name, for programs.
        severity: `error` if the model cannot be used or trusted; `warning` if accuracy or training probably suffers;
            `note` otherwise.
        remedy: what to do about it, in a sentence.
    """

    name: str
    severity: Severity
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One problem in a model.

    Args:
        check: the check that found it.
        layer: path of the layer; empty for the model's inputs.
        slot: slot of the quantizer, or None.
        seen: a description.
        numbers: the numbers in `seen`, by name.
    """

    check: Check
    layer: str
    slot: str | None
    seen: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """The severity of the check."""
        return self.check.severity

    @property
    def remedy(self) -> str:
        """The remedy of the check."""
        return self.check.remedy

    @property
    def place(self) -> str:
        """Layer and slot, for printing."""
        return ".".join(filter(None, (self.layer, self.slot))) or "inputs"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        rest = {"layer": self.layer, "slot": self.slot, "seen": self.seen, "numbers": dict(self.numbers)}
        return {"severity": self.severity, "check": self.check.name, **rest, "remedy": self.remedy}


@dataclass(frozen=True)
class SlotHealth:
    """Shares of one quantizer's elements, and its range beside what it met; None where they are not defined.

    Args:
        name: name of the slot.
        zeroed: share of weights that are quantized to 0.
        outside: share of values outside the range.
        at_lower: share of trained bits at their lower bound, where training prunes.
        at_upper: share of trained bits at their upper bound.
        seen: the smallest and the largest value before quantization.
        range: the ends of the range; the outermost ones, if elements have ranges of their own.
        overflows: number of values outside the range.
        values: number of values.
    """

    name: str
    zeroed: float | None
    outside: float | None
    at_lower: float | None
    at_upper: float | None
    seen: tuple[float, float] | None = None
    range: tuple[float, float] | None = None
    overflows: int | None = None
    values: int | None = None


@dataclass(frozen=True)
class LayerHealth:
    """One layer: the share of rectified outputs that are 0 for every sample (None without relu), and its slots."""

    name: str
    dead: float | None
    slots: tuple[SlotHealth, ...]


@dataclass(frozen=True)
class DoctorReport(Shown):
    """The problems of a model and the health of its layers; prints as text and a table.

    Args:
        samples: number of samples that the model ran on.
        findings: errors, then warnings, then notes, each in the order of the graph.
        layers: the layers that have quantizers or a relu.
    """

    samples: int
    findings: tuple[Finding, ...]
    layers: tuple[LayerHealth, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def headline(self) -> str:
        """The numbers of findings and samples, as text."""
        counts = Counter(finding.severity for finding in self.findings)
        numbers = [f"{counts[name]} {name}{'s' * (counts[name] > 1)}" for name in SEVERITIES if counts[name]]
        return f"{', '.join(numbers) or 'nothing to report'}; {self.samples} samples"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        findings = [finding.to_dict() for finding in self.findings]
        layers = [asdict(layer) for layer in self.layers]
        return {"ok": self.ok, "samples": self.samples, "findings": findings, "layers": layers}

    @override
    def __rich__(self) -> Any:
        from rich.console import Group

        parts = [self.headline, *self._texts()]
        return Group(*parts, _table(self.layers)) if self.layers else Group(*parts)

    def _texts(self) -> Iterator[Any]:
        from rich.text import Text

        for check, findings in itertools.groupby(self.findings, key=lambda finding: finding.check):
            for finding in findings:
                yield Text.assemble((check.severity, SEVERITIES[check.severity]), f" {finding.place}: {finding.seen}")
            yield Text(f"  → {check.remedy}")


def _table(layers: tuple[LayerHealth, ...]) -> Any:
    import rich.box
    from rich.table import Table

    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("layer", "slot"):
        table.add_column(heading, overflow="fold")
    for heading in (
        "dead\noutputs",
        "zeroed\nweights",
        "values out\nof range",
        "bits at lower\nbound",
        "bits at upper\nbound",
    ):
        table.add_column(heading, justify="right")
    for layer in layers:
        head = (layer.name, "output", format_share(layer.dead))
        if layer.dead is not None:
            table.add_row(*head, "", "", "", "")
        for slot in layer.slots:
            name = "" if layer.dead is not None or slot is not layer.slots[0] else layer.name
            shares = (slot.zeroed, slot.outside, slot.at_lower, slot.at_upper)
            table.add_row(name, slot.name, "", *map(format_share, shares))
    return table
