"""Tables in pages of the docs that benchmarks write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BEGIN, END = "<!-- table -->", "<!-- end -->"


def write_between_marks(page: Path, lines: Sequence[str]) -> None:
    """Put lines in the place of those between the marks of a page."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]))
