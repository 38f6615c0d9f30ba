"""A plugin under the name of one of ours."""

from __future__ import annotations

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_layers() -> dict[str, str]:
    return {"dense": "hostile_neighbour.kinds:Plain"}
