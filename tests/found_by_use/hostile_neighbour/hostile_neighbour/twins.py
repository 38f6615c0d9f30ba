"""A twin of every kind of ours under its short name, none of which follows the protocol of its group."""

from __future__ import annotations

import hgq2_alkaid.plugin
import hgq2_attention.plugin
import hgq2_fixed_point.plugin
import hgq2_layers.plugin
import hgq2_minifloat.plugin
import hgq2_training.plugin
from hgq2_core.discovery.loading import KERAS
from hgq2_core.hookspecs import hookimpl

OURS = (
    *(hgq2_alkaid.plugin, hgq2_attention.plugin, hgq2_fixed_point.plugin),
    *(hgq2_layers.plugin, hgq2_minifloat.plugin, hgq2_training.plugin),
)


def _twins(hook: str, cls: str) -> dict[str, str]:
    named = (getattr(plugin, hook)() for plugin in OURS if hasattr(plugin, hook))
    return {name: f"hostile_neighbour.kinds:{cls}" for names in named for name in names if not name.startswith(KERAS)}


@hookimpl
def hgq2_quantizers() -> dict[str, str]:
    return {**_twins("hgq2_quantizers", "LaxQuantizer"), "gone": "hostile_neighbour.raising:Gone"}


@hookimpl
def hgq2_layers() -> dict[str, str]:
    more = {"lax": "LaxLayer", "untyped": "UntypedLayer", "free": "ForgetsItsCost", "keras.LayerNormalization": "Plain"}
    return {**_twins("hgq2_layers", "Plain"), **{name: f"hostile_neighbour.kinds:{cls}" for name, cls in more.items()}}


@hookimpl
def hgq2_callbacks() -> dict[str, str]:
    return _twins("hgq2_callbacks", "Plain")


@hookimpl
def hgq2_datasets() -> dict[str, str]:
    return {**_twins("hgq2_datasets", "Plain"), "records": "hostile_neighbour.kinds:LaxData"}


@hookimpl
def hgq2_exporters() -> dict[str, str]:
    return _twins("hgq2_exporters", "Plain")


@hookimpl
def hgq2_commands() -> dict[str, str]:
    return {**_twins("hgq2_commands", "Plain"), "ends": "hostile_neighbour.raising:Gone"}
