"""Formatting of numbers, the same in progress bars, tables, terminal output and the report of a run."""

from __future__ import annotations

SMALL = 0.001
"""Smaller numbers are written with an exponent, since four decimals would show too few digits."""


def format_metric(value: float) -> str:
    """Return a loss or metric as text, such as `0.9731`, `1,234` or `2.50e-05`."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2e}" if 0 < abs(value) < SMALL else f"{value:.4f}"


def format_count(value: float) -> str:
    """Return EBOPs, samples or elements as text, such as `12,345`."""
    return f"{value:,.0f}"


def format_share(value: float | None) -> str:
    """Return a share as text, such as `15%`; empty for None."""
    if value is None:
        return ""
    # One in a thousand must not read as none.
    return "<1%" if 0 < value < 0.01 else f"{value:.0%}"
