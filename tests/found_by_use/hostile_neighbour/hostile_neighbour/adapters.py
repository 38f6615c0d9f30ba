"""A plugin that comes first in the alphabet, and claims every Keras layer that ours makes exact."""

from __future__ import annotations

from hgq2_core.discovery.loading import KERAS
from hgq2_core.hookspecs import hookimpl
from hgq2_layers import plugin as ours


@hookimpl
def hgq2_layers() -> dict[str, str]:
    return {name: "hostile_neighbour.kinds:Plain" for name in ours.hgq2_layers() if name.startswith(KERAS)}
