"""What a board needs besides the circuit: a driver for its processor, and a script that makes the project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from hgq2_core.files import write_text

FILES = ("pynq_driver.py", "pynq_project.tcl")


def write_board(directory: Path) -> None:
    """Write driver and script beside an export with an AXI4-Stream.

    Args:
        directory: of the export.
    """
    for name in FILES:
        source = resources.files("hgq2_alkaid.handshake.board") / name
        write_text(directory / name, source.read_text(encoding="utf-8"))
