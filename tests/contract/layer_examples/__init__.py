"""Small arguments and input shapes for each kind of layer: a module for each family, an `EXAMPLES` in each."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

EXAMPLES: dict[str, list[tuple[dict[str, Any], Any]]] = {}
for module in pkgutil.iter_modules(__path__):
    EXAMPLES.update(importlib.import_module(f"{__name__}.{module.name}").EXAMPLES)
