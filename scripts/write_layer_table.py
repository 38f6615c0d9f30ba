"""Write the table of docs/layers.md, that of `hgq2 list --table`, and keep the text above it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "layers.md"


def main() -> None:
    """Replace the table."""
    command = [str(Path(sys.executable).with_name("hgq2")), "list", "--table"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text, start, _ = PAGE.read_text(encoding="utf-8").partition("\n| ")
    PAGE.write_text(text + start + table.removeprefix("| "), encoding="utf-8")


if __name__ == "__main__":
    main()
