"""A table of layers and operations: what each converts to, whether it is exact, where it may be used, and circuits.

The rows are computed from the registry, the adapters and the list of Keras layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from hgq2_core.discovery.known_plugins import OPERATION_LAYER, is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS, KERAS_LAYERS, KerasLayer, quantized_name

YES, NO = "yes", "no"
QUANTIZED = "its quantized form"
OPS, AS_OPERATION = "ops.", "as operation"


@dataclass(frozen=True)
class LayerRow:
    """One layer.

    Args:
        layer: its kind.
        converts: what `quantize_model` turns it into without a rule.
        exact: whether it has exact arithmetic, which `verify` needs, or under which condition.
        in_configs: whether a config may name it.
        in_files: whether a model file that `load_model` and `hgq2 quantize` read may hold one.
        circuit: whether an exporter can trace it, which it does through the exact arithmetic.
    """

    layer: str
    converts: str
    exact: str
    in_configs: str
    in_files: str
    circuit: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def layer_table() -> tuple[LayerRow, ...]:
    """Return a row for each Keras layer or operation that is known or adapted, then for each quantized layer."""
    kinds = registry().names("layers")
    ours = [kind for kind in kinds if not kind.startswith(KERAS)]
    adapted = {kind.removeprefix(KERAS) for kind in kinds} - set(ours)
    keras_rows = map(keras_row, sorted({*KERAS_LAYERS, *adapted}))
    return (*keras_rows, *(LayerRow(kind, "stays", YES, YES, YES, YES) for kind in ours))


def keras_row(name: str) -> LayerRow:
    """Return the row of a layer by its name in `keras.layers`, or of an operation, `ops.<function>`."""
    if name.startswith(OPS):
        return _operation_row(name)
    kinds = registry().names("layers")
    ours, adapted = [kind for kind in kinds if not kind.startswith(KERAS)], f"{KERAS}{name}" in kinds
    known = KERAS_LAYERS.get(name)
    layer = known or KerasLayer(name)
    # Of equal short names the last one stays, which is the official kind.
    short = {kind.partition(".")[2]: kind for kind in sorted(ours, key=is_official)}
    quantized = quantized_name(layer.class_name or name, short, adapted)
    exact_where = registry().load("layers", f"{KERAS}{name}").exact_where if adapted else ""
    exact = (f"where {exact_where}" if exact_where else YES) if adapted else (QUANTIZED if quantized else NO)
    return LayerRow(
        layer=f"{KERAS}{name}",
        converts=_converts(layer, short.get(quantized or ""), adapted, exact_where),
        exact=exact,
        in_configs=YES if known and known.in_configs else NO,
        in_files=YES if known else NO,
        circuit=YES if adapted else exact,
    )


def _operation_row(name: str) -> LayerRow:
    exact_where = registry().load("layers", f"{KERAS}{name}").exact_where
    exact = f"where {exact_where}" if exact_where else YES
    return LayerRow(f"{KERAS}{name}", OPERATION_LAYER, exact, AS_OPERATION, YES, exact)


def _converts(layer: KerasLayer, kind: str | None, adapted: bool, exact_where: str) -> str:
    if kind is not None:
        return kind
    if not adapted:
        return "by a rule only"
    if layer.sublayers:
        return "what it holds"
    return "stays where exact" if exact_where else "stays"


def markdown(rows: Sequence[LayerRow]) -> str:
    """Return the rows as a table in Markdown, aligned to be read in a terminal too."""
    heads = [field.name.replace("_", " ") for field in fields(LayerRow)]
    cells = [heads, *(list(map(str, row.to_dict().values())) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"| {line} |\n" for line in lines)
