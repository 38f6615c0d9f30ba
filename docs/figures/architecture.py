"""Draw the picture of docs/architecture.md as an SVG file, from the import contract and the hooks in the code itself.

Run it from the root of the repository: `python docs/figures/architecture.py`.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTRACT = "The rooms of the core lie in layers"
WIDTH, HEIGHT, GAP, MARGIN = 860, 30, 8, 20
# Two sets of colours in one file: a page shows the one that its reader's browser asks for.
STYLE = """
  text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2937; text-anchor: middle }
  .note { fill: #6b7280; font-size: 11px }
  .side { text-anchor: start }
  .room { fill: #eff6ff; stroke: #3b82f6 }
  .plugin { fill: #fff7ed; stroke: #d97706 }
  .arrow { stroke: #6b7280; stroke-width: 1.5; fill: none }
  .head { fill: #6b7280 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e5e7eb }
    .note { fill: #9ca3af }
    .room { fill: #172554; stroke: #60a5fa }
    .plugin { fill: #431407; stroke: #fb923c }
    .arrow { stroke: #9ca3af }
    .head { fill: #9ca3af }
  }
"""


def layers() -> list[list[str]]:
    """Return the rooms of the core from the top, those of one layer together, as import-linter holds them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["name"] == CONTRACT)
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def plugins() -> dict[str, list[str]]:
    """Return the hooks that each plugin of this repository implements, by the name of its folder."""
    return {path.parents[1].name: list(_hooks(path)) for path in sorted(ROOT.glob("plugins/*/*/plugin.py"))}


def _hooks(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("hgq2_"):
            yield node.name.removeprefix("hgq2_")


def _row(names: list[str], top: float, height: float, look: str, notes: list[str]) -> Iterator[str]:
    width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
    for position, (name, note) in enumerate(zip(names, notes, strict=True)):
        left = MARGIN + position * (width + GAP)
        middle = left + width / 2
        yield f'<rect class="{look}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" rx="5"/>'
        yield f'<text x="{middle:.1f}" y="{top + 20}">{name}</text>'
        for line, word in enumerate(note.split()):
            yield f'<text class="note" x="{middle:.1f}" y="{top + 37 + 14 * line}">{word}</text>'


def picture() -> str:
    """Return the SVG: plugins with their hooks above, the rooms of the core below, in layers."""
    hooks = plugins()
    most = max(map(len, hooks.values()))
    below = MARGIN + 20 + 32 + 14 * most
    shapes = [
        f'<text class="note side" x="{MARGIN}" y="{MARGIN + 8}">plugins, and the hooks that each implements</text>'
    ]
    shapes += _row(list(hooks), MARGIN + 18, 30 + 14 * most, "plugin", [" ".join(names) for names in hooks.values()])
    shapes.append(f'<path class="arrow" d="M {WIDTH / 2} {below} v 26"/>')
    shapes.append(f'<path class="head" d="M {WIDTH / 2} {below + 32} l -4 -9 h 8 z"/>')
    shapes.append(
        f'<text class="note side" x="{WIDTH / 2 + 12}" y="{below + 18}">the core finds plugins by '
        "entry points and imports none</text>"
    )
    top = below + 54
    shapes.append(
        f'<text class="note side" x="{MARGIN}" y="{top - 8}">hgq2_core: a room imports only rooms of the lines '
        "below it</text>"
    )
    for rooms in layers():
        shapes += _row(rooms, top, HEIGHT, "room", [""] * len(rooms))
        top += HEIGHT + GAP
    height = top + MARGIN - GAP
    lines = "\n".join(f"  {shape}" for shape in shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="The plugins above the rooms of the core">\n<style>{STYLE}</style>\n{lines}\n</svg>\n'
    )


def main(folder: Path) -> None:
    """Write the picture into a folder."""
    (folder / "architecture.svg").write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
