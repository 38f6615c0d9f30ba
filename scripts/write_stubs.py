"""Write the type stub of each package with lazy exports: run `make stubs` after adding a kind."""

from __future__ import annotations

import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hgq2_attention", "hgq2_fixed_point", "hgq2_layers", "hgq2_minifloat", "hgq2_training")


def stub(package: str) -> str:
    """Return a stub with every exported name, imported from the module that defines it."""
    module = importlib.import_module(package)
    homes = [
        (offered.__module__, offered.__name__, name) for name in module.__all__ for offered in [getattr(module, name)]
    ]
    lines = [f"from {home} import {defined} as {name}\n" for home, defined, name in sorted(homes)]
    return "".join([*lines, "\n__version__: str\n"])


def path(package: str) -> Path:
    """Return the path of a package's stub."""
    return ROOT / "plugins" / package.removeprefix("hgq2_") / package / "__init__.pyi"


if __name__ == "__main__":
    for each in PACKAGES:
        path(each).write_text(stub(each))
