"""Small drawings whose size does not depend on a plotting library: histograms of weights and maps of bits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT, FOOT = 200, 64, 14


def described(name: str, title: str, description: str, attributes: str, content: str) -> Markup:
    """Return an SVG element with its title and description, for those who do not see it.

    Args:
        name: unique on the page.
        title: what it is.
        description: what it shows.
        attributes: of the element.
        content: its elements.
    """
    labels = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    texts = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return Markup(f"<svg {labels} {attributes}>{texts}{content}</svg>")


def histogram(name: str, title: str, counts: Sequence[int], edges: Sequence[float]) -> Markup:
    """Return a histogram with the ends of its axis, and its 0 if that is inside.

    Args:
        name: unique on the page.
        title: what is counted.
        counts: of each bin.
        edges: the outer ends of the bins.
    """
    low, high = edges
    most, step = max(counts), WIDTH / len(counts)
    bars = "".join(
        f"M{index * step:.2f} {HEIGHT}v{-HEIGHT * count / most:.2f}h{step * 0.9:.2f}v{HEIGHT * count / most:.2f}z"
        for index, count in enumerate(counts)
        if count
    )
    places = [(0.0, "start", low), (float(WIDTH), "end", high)]
    if low < 0 < high:
        places.insert(1, (-low / (high - low) * WIDTH, "middle", 0.0))
    texts = "".join(
        f'<text x="{x:.1f}" y="{HEIGHT + FOOT - 2}" text-anchor="{anchor}">{value:.3g}</text>'
        for x, anchor, value in places
    )
    axis = f'<path class="axis" d="M0 {HEIGHT + 0.5}h{WIDTH}"/>'
    description = f"{sum(counts):,} values from {low:.4g} to {high:.4g}"
    attributes = f'class="small" viewBox="0 0 {WIDTH} {HEIGHT + FOOT}"'
    return described(name, title, description, attributes, f'<path class="bars" d="{bars}"/>{axis}{texts}')


def bit_map(name: str, title: str, rows: Sequence[Sequence[int]]) -> Markup:
    """Return a map of bits, a cell for each element, stronger for more bits; 0 bits stay empty.

    Args:
        name: unique on the page.
        title: whose bits.
        rows: the bits, row by row.
    """
    cells: dict[int, list[str]] = defaultdict(list)
    for y, row in enumerate(rows):
        start = 0
        for x in range(1, len(row) + 1):
            if x == len(row) or row[x] != row[start]:
                cells[row[start]].append(f"M{start} {y}h{x - start}v1h{start - x}z")
                start = x
    most = max(max(row) for row in rows) or 1
    paths = "".join(
        f'<path fill-opacity="{bits / most:.2f}" d="{"".join(found)}"/>'
        for bits, found in sorted(cells.items())
        if bits
    )
    height, width = len(rows), len(rows[0])
    shape = f'viewBox="0 0 {width} {height}" preserveAspectRatio="none" style="height: {4 + 2.4 * height:.0f}px"'
    description = f"{height} rows, {width} columns, {min(map(min, rows))} to {most} bits"
    return described(name, title, description, f'class="map" {shape}', paths)
