"""An extension of griffe: `Example:` in a docstring is a section of code, as `Examples:` is."""

from __future__ import annotations

import re
from typing import Any

import griffe


class ExamplesAreCode(griffe.Extension):
    """Give the section the name that griffe knows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
