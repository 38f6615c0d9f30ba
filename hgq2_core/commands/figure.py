"""The figure that the plots draw into; matplotlib is imported with this module."""

from __future__ import annotations

import io
import re

from matplotlib.figure import Figure
from typing_extensions import override

from hgq2_core.commands.plots import COLORS, INK, LABEL, styled

NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


class ThemedFigure(Figure):
    """A figure that pages and notebooks show in their own colours, in light and dark."""

    def themed_svg(self) -> str:
        """Return an SVG element whose text has the colour of the page's, and whose lines have CSS variables."""
        buffer = io.StringIO()
        with styled():
            self.savefig(buffer, format="svg", metadata=NO_METADATA)
        text = buffer.getvalue()
        text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        for color in (INK, LABEL):
            text = text.replace(f": {color}", ": currentColor")
        for variable, color in COLORS.items():
            text = text.replace(f": {color}", f": var(--plot-{variable}, {color})")
        return text

    @override
    def _repr_html_(self) -> str:
        return self.themed_svg()
