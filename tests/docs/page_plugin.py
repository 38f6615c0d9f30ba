"""A plugin whose files stand on a page: written into a folder, and installed there by its metadata, without pip."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(page: Path) -> dict[str, str]:
    """Return the files of a page by name: each a fenced block below a line with nothing but its name and a colon."""
    return dict(FILE.findall(page.read_text(encoding="utf-8")))


def install(files: Mapping[str, str], folder: Path) -> None:
    """Write files, and the metadata by which Python finds the distribution that their `pyproject.toml` describes."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in project["dependencies"])
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    lines: list[str] = []
    for group, names in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
