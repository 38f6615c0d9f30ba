"""Yosys as a program of its own, as it ends its process where it fails: a command on each line of standard input."""

from __future__ import annotations

import re
import sys
from typing import Any

FORGET = "forget the unused cells of the library"
"""A command of this program: every pass over the design takes time for them, too."""

LATER = re.compile("(LUT|MUXF|CARRY|INV|FD|BUF)")
"""Cells that passes may still need."""


def forget_unused(libyosys: Any, design: Any) -> None:
    """Delete the cells of the library that a design has not and will not have."""
    modules = design.modules_
    used = {cell.type.str() for module in modules.values() for cell in module.cells_.values()}
    cells = {name.str() for name, module in modules.items() if module.get_blackbox_attribute(False)}
    unused = [name.lstrip("\\") for name in sorted(cells - used)]
    libyosys.run_pass("delete " + " ".join(f"={name}" for name in unused if not LATER.match(name)), design)


def main() -> None:
    """Run the commands."""
    from pyosys import libyosys

    design = libyosys.Design()
    for command in map(str.strip, sys.stdin):
        if command == FORGET:
            forget_unused(libyosys, design)
        else:
            libyosys.run_pass(command, design)


if __name__ == "__main__":
    main()
