"""What the documentation site has besides docs/: pages of the rest of the repository, and the reference.

A hook of mkdocs. Pages link to each other by their places in the repository, as a forge shows them; here docs/ is the
root of the site, so links are moved along. A file that a page links to outside docs/ is copied into the site.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"^reference/(.+)\.md$")
LAYERS = ("hgq2_layers", "hgq2_attention")
"""Packages of layers, of which the reference has the arguments; the methods are those of `QLayer`."""
FRONT = "README.md"
"""The front page on a forge; on the site that is index.md."""


def pages(nav: Any) -> Iterator[str]:
    """Yield the pages that a nav names, in order."""
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, Mapping) else nav:
            yield from pages(item)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the nav that docs/ does not hold, and the files that pages link to."""
    for uri in pages(config.nav):
        if (module := REFERENCE.match(uri)) is not None:
            files.append(File.generated(config, uri, content=reference(module[1])))
        elif files.get_file_from_path(uri) is None and (ROOT / uri).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    for uri, schema in schemas().items():
        files.append(File.generated(config, uri, content=json.dumps(schema, indent=2)))
    for page in list(files.documentation_pages()):
        text = FENCE.sub("", page.content_string)
        for target in (_target(page.src_uri, link[1]) for link in LINK.finditer(text)):
            if files.get_file_from_path(_uri(target)) is None and (ROOT / target).is_file():
                files.append(File.generated(config, _uri(target), abs_src_path=str(ROOT / target)))
    return files


def schemas() -> dict[str, Any]:
    """Return the JSON schemas for editors, by their places on the site; they have what is installed."""
    from hgq2_core import json_schema
    from hgq2_training.sweeps.json_schema import sweep_schema

    return {"schema/config.json": json_schema(), "schema/sweep.json": sweep_schema()}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the text of a page with its links moved along."""
    uri = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        return posixpath.relpath(_uri(_target(uri, link[1])), posixpath.dirname(uri) or ".")

    return LINK.sub(moved, markdown)


def _target(uri: str, link: str) -> str:
    """Return the place in the repository to which a link of a page leads."""
    folder = posixpath.dirname(uri if _outside(uri) else f"docs/{uri}")
    return posixpath.normpath(posixpath.join(folder, link))


def _outside(uri: str) -> bool:
    return not (ROOT / "docs" / uri).exists()


def _uri(target: str) -> str:
    """Return the place on the site of a file of the repository."""
    return "index.md" if target == FRONT else target.removeprefix("docs/")


def reference(package: str) -> str:
    """Return the page of a package, with what it exports, or else with its public modules."""
    names = exported(package)
    members = f"      members: [{', '.join(names)}]\n" if names else "      show_submodules: true\n"
    if package in LAYERS:
        members += "      filters: ['!^[a-z_]']\n"
    text = f"# {package}\n\n::: {package}\n    options:\n{members}"
    for name in names:
        if (_folder(package) / f"{name}.py").exists():  # a function of the name of its module, which hides it
            heading = "{show_root_heading: true, show_root_toc_entry: true}"
            text += f"\n::: {package}.{name}.{name}\n    options: {heading}\n"
    return text


def exported(package: str) -> list[str]:
    """Return the names that a package exports, read from its stub or its `__all__`: nothing is imported."""
    source = _folder(package)
    if (stub := source / "__init__.pyi").exists():
        imports = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
        return sorted(alias.asname for node in imports for alias in node.names if alias.asname)
    for node in ast.parse((source / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _folder(package: str) -> Path:
    folder = package.replace(".", "/")
    return next(path for path in (ROOT / folder, *ROOT.glob(f"plugins/*/{folder}")) if path.is_dir())
