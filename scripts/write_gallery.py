"""Write the generated parts of docs/gallery: configs from examples/, results from docs/results/gallery.json.

A part is between `<!-- config: PATH -->` or `<!-- results: NAME -->` and `<!-- end -->`; the text around it is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "gallery"
PART = re.compile(r"(<!-- (config|results): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
TITLE = re.compile(r"<title[^>]*>(.*?)</title>")
METRICS = {
    "accuracy": "test accuracy",
    "binary_accuracy": "test accuracy",
    "auc": "area under the test curve",
}
"""The metric that counts, and what a table calls it."""
NOT_YET = "This config has no committed result yet; the bounds in the [gallery](index.md) are those of the tests."


def config(path: str) -> str:
    """Return the config of an example, as a block."""
    return f"```yaml\n{(ROOT / path).read_text(encoding='utf-8')}```\n"


def results(name: str) -> str:
    """Return the results of an example, a line for each seed, and its pictures."""
    rows = [row for row in committed() if row["example"] == name]
    if not rows:
        return f"\n{NOT_YET}\n\n"
    (metric,) = METRICS.keys() & rows[0]["test"].keys()
    lines = [
        f"| seed | {METRICS[metric]} | EBOPs | values that differ from integers | CPU time |",
        "|---|---|---|---|---|",
    ]
    lines += map("| {} |".format, map(" | ".join, _cells(rows, metric)))
    return "\n" + "\n".join([*lines, *pictures(name)]) + "\n\n"


def pictures(name: str) -> Iterator[str]:
    """Yield the pictures of an example that were drawn, each by its own title."""
    for path in (PAGES / f"{name}_front.svg", PAGES / f"{name}.svg"):
        if path.exists() and (title := TITLE.search(path.read_text(encoding="utf-8"))):
            yield f"\n![{title[1]}]({path.name})"


def _cells(rows: list[dict[str, Any]], metric: str) -> Iterator[list[str]]:
    for row in rows:
        verified = row["verify"]
        yield [
            str(row["seed"]),
            f"{100 * row['test'][metric]:.1f} %",
            f"{row['ebops']:,.0f}",
            f"{verified['mismatches']} in {verified['samples']:,} samples",
            f"{row['cpu_seconds']} s",
        ]


def committed() -> list[dict[str, Any]]:
    """Return the results of the last night."""
    document = json.loads((ROOT / "docs" / "results" / "gallery.json").read_text(encoding="utf-8"))
    return list(document["results"])


WRITERS = {"config": config, "results": results}


def written(text: str) -> str:
    """Return a page with its generated parts as they must be now."""
    return PART.sub(lambda part: part[1] + WRITERS[part[2]](part[3]) + part[4], text)


def main() -> None:
    """Write the pages."""
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
