"""Reports of Vivado, Vitis HLS and Quartus, read back: what the tool that made the hardware says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from typing_extensions import override

from hgq2_core import ebops
from hgq2_core.commands.notebook import Shown
from hgq2_core.errors import ConfigError, KindError
from hgq2_core.exporting.luts import estimate_luts

if TYPE_CHECKING:
    import keras

LARGEST = 64 * 2**20
"""Bytes of a file that is still read."""

NUMBER = r"([\d,]*\.?\d+)"


@dataclass(frozen=True)
class VendorReport:
    """What one file says.

    Args:
        file: its path below the directory that was read.
        tool: what wrote it.
        values: by name, such as `luts` or `fmax_mhz`; only what it says.
    """

    file: str
    tool: str
    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class BesideVendor(Shown):
    """What was predicted, and what the vendor's tools say; prints as a table.

    Args:
        predicted: by name, as in the reports; empty where no exporter is installed that predicts.
        reports: of the vendor's tools.
    """

    predicted: Mapping[str, float]
    reports: tuple[VendorReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"predicted": dict(self.predicted), "vendor": [each.to_dict() for each in self.reports]}

    @override
    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table("value", "from", title="beside the vendor's reports")
        table.add_column("", justify="right")
        names = {name: None for each in (self.predicted, *(each.values for each in self.reports)) for name in each}
        for name in names:
            title = name
            for origin, values in (("predicted", self.predicted), *((each.file, each.values) for each in self.reports)):
                if name in values:
                    table.add_row(title, origin, f"{values[name]:,.6g}")
                    title = ""
        return table


def beside_vendor(directory: str | Path, model: keras.Model) -> BesideVendor:
    """Read a vendor's reports, and predict what they tell.

    Args:
        directory: see `read_vendor_reports`.
        model: calibrated.
    """
    reports = tuple(read_vendor_reports(directory))
    predicted = {"ebops": ebops(model)}
    with suppress(KindError):  # the exporter that predicts LUTs need not be installed
        found = estimate_luts(model)
        predicted |= {"luts": found.luts, "luts_low": found.low, "luts_high": found.high}
    return BesideVendor(predicted, reports)


@dataclass(frozen=True)
class _Format:
    """A kind of text report.

    Args:
        tool: what writes it.
        sign: a text that only this kind holds.
        patterns: for each value, an expression whose first group is the number.
    """

    tool: str
    sign: str
    patterns: Mapping[str, str]

    def read(self, text: str) -> dict[str, float]:
        found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in self.patterns.items()}
        return {name: float(match[1].replace(",", "")) for name, match in found.items() if match}


def _row(*titles: str) -> str:
    """Return an expression for the first number behind a title in one of Vivado's tables."""
    return rf"^\|\s*(?:{'|'.join(titles)})\*?\s*\|\s*{NUMBER}\s*\|"


FORMATS = (
    _Format(
        "Vivado utilization",
        "Utilization Design Information",
        {
            "luts": _row("CLB LUTs", "Slice LUTs"),
            "registers": _row("CLB Registers", "Slice Registers"),
            "carries": _row("CARRY8", "CARRY4"),
            "dsps": _row("DSPs"),
            "block_rams": _row("Block RAM Tile"),
        },
    ),
    _Format(
        "Vivado timing",
        "Design Timing Summary",
        {
            "slack_ns": r"WNS\(ns\)[^\n]*\n[ -]*\n\s*(-?[\d.]+)",
            "clock_period_ns": r"^\S+\s+\{[\d. ]+\}\s+([\d.]+)\s+[\d.]+\s*$",
        },
    ),
    _Format(
        "Quartus fitter",
        "Fitter Status",
        {
            "alms": rf"Logic utilization \(in ALMs\)\s*[:;]\s*{NUMBER}",
            "registers": rf"Total registers\s*[:;]\s*{NUMBER}",
            "dsps": rf"Total DSP Blocks\s*[:;]\s*{NUMBER}",
            "block_rams": rf"Total RAM Blocks\s*[:;]\s*{NUMBER}",
        },
    ),
    _Format("Quartus timing", "Fmax Summary", {"fmax_mhz": rf"^;\s*{NUMBER} MHz\s*;"}),
)

HLS = {
    "luts": "AreaEstimates/Resources/LUT",
    "registers": "AreaEstimates/Resources/FF",
    "dsps": "AreaEstimates/Resources/DSP",
    "block_rams": "AreaEstimates/Resources/BRAM_18K",
    "clock_period_ns": "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod",
    "latency_cycles": "PerformanceEstimates/SummaryOfOverallLatency/Worst-caseLatency",
    "interval_cycles": "PerformanceEstimates/SummaryOfOverallLatency/Interval-max",
}
"""Where `csynth.xml` of Vitis HLS, or of Vivado HLS, has each value."""


def read_vendor_reports(directory: str | Path) -> list[VendorReport]:
    """Read the reports below a directory, of every tool that is known.

    Args:
        directory: of a project, or of copied reports: `*.rpt`, `*.summary` and `*csynth.xml`, at any depth.

    Raises:
        ConfigError: there is no such directory, or no file in it is such a report.
    """
    root = Path(directory)
    if not root.is_dir():
        raise ConfigError(f"--vendor {directory}: is no directory. Allowed: one with reports of the vendor's tool.")
    found = [each for path in sorted(root.rglob("*")) if path.is_file() for each in _read(path, root)]
    if not found:
        known = ", ".join([*(each.tool for each in FORMATS), "Vitis HLS"])
        raise ConfigError(
            f"--vendor {directory}: none of its files is a report that can be read. Allowed: *.rpt, *.summary and "
            f"*csynth.xml of {known}."
        )
    return found


def _read(path: Path, root: Path) -> Iterator[VendorReport]:
    name = str(path.relative_to(root))
    if path.name.endswith("csynth.xml"):
        if values := _hls(path):
            yield VendorReport(name, "Vitis HLS", values)
    elif path.suffix in (".rpt", ".summary") and path.stat().st_size <= LARGEST:
        text = path.read_text(errors="replace")
        for each in FORMATS:
            if each.sign in text and (values := each.read(text)):
                yield VendorReport(name, each.tool, values)


def _hls(path: Path) -> dict[str, float]:
    if path.stat().st_size > LARGEST:
        return {}
    try:
        tree = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path}: is no XML: {error}.") from error
    texts = {name: tree.findtext(place) for name, place in HLS.items()}
    return {name: float(text) for name, text in texts.items() if text and re.fullmatch(r"-?[\d.]+", text.strip())}
