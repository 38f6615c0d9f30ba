"""Print the size of the core's floor plan: rooms, floors, and imports that lead up or in a circle.

A room is a module or a folder directly under `hgq2_core`, except modules that only lead to another one. The floors are
the longest chain of imports from room to room. An import for types alone does not count. Run it from the root:
`python scripts/measure_core.py`.
"""

from __future__ import annotations

import runpy
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

CORE = "hgq2_core"
FORMER = frozenset({"arguments"})
"""Modules that only lead to another one, for imports of before."""


def imports_between_rooms() -> Counter[tuple[str, str]]:
    """Return how many imports lead from one room to another, by the pair."""
    graph = grimp.build_graph(CORE, exclude_type_checking_imports=True, cache_dir=None)
    pairs = Counter(
        (importer.split(".")[1], imported.split(".")[1])
        for importer in graph.modules - {CORE}
        for imported in graph.find_modules_directly_imported_by(importer) - {CORE}
    )
    return Counter({(a, b): count for (a, b), count in pairs.items() if a != b and not {a, b} & FORMER})


def floors(rooms: list[str], imports: Counter[tuple[str, str]]) -> list[str]:
    """Return the longest chain of imports, from the top.

    Raises:
        CycleError: rooms import each other in a circle.
    """
    below: dict[str, set[str]] = {room: set() for room in rooms}
    for importer, imported in imports:
        below[importer].add(imported)
    chains: dict[str, list[str]] = {}
    for room in TopologicalSorter(below).static_order():
        chains[room] = [room, *max((chains[each] for each in sorted(below[room])), key=len, default=[])]
    return max(chains.values(), key=len)


def upward(layers: list[list[str]], imports: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the imports from a room to one that is not in a layer below."""
    layer = {room: number for number, rooms in enumerate(layers) for room in rooms}
    return sorted((a, b) for a, b in imports if layer[a] >= layer[b])


def main() -> None:
    """Print the figures."""
    figure = Path(__file__).parents[1] / "docs" / "figures" / "architecture.py"
    layers, imports = runpy.run_path(str(figure))["layers"](), imports_between_rooms()
    rooms = [room for layer in layers for room in layer]
    try:
        chain = floors(rooms, imports)
        print(f"floors   {len(chain)}  {' > '.join(chain)}")
    except CycleError as error:
        print(f"circle   {' > '.join(error.args[1])}")
    print(f"rooms    {len(rooms)}")
    print(
        f"imports  {imports.total()} between {len(imports)} pairs of rooms, {len(upward(layers, imports))} of them up"
    )


if __name__ == "__main__":
    main()
