"""Write the type stub of each package with lazy exports: run `make stubs` after adding a kind."""

from __future__ import annotations

import importlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hgq2_attention", "hgq2_fixed_point", "hgq2_layers", "hgq2_minifloat", "hgq2_training")


def stub(package: str) -> str:
    """Return a stub with every exported name, imported from the module that defines it."""
    module = importlib.import_module(package)
    offered = {name: getattr(module, name) for name in module.__all__}
    homes = sorted((value.__module__, name) for name, value in offered.items() if value.__name__ == name)
    lines = [f"from {home} import {name} as {name}\n" for home, name in homes]
    aliases = [f"{name} = {value.__name__}\n" for name, value in offered.items() if value.__name__ != name]
    lines += ["\n", *aliases] if aliases else []
    return "".join([*lines, "\n__version__: str\n"])


def path(package: str) -> Path:
    """Return the path of a package's stub."""
    return ROOT / "plugins" / package.removeprefix("hgq2_") / package / "__init__.pyi"


if __name__ == "__main__":
    for each in PACKAGES:
        path(each).write_text(stub(each))
