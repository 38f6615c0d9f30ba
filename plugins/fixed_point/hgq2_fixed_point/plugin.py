"""The hooks of the fixed-point plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_quantizers() -> dict[str, str]:
    """Offer KBI and KIF."""
    return {"kbi": "hgq2_fixed_point.config:KBI", "kif": "hgq2_fixed_point.config:KIF"}
