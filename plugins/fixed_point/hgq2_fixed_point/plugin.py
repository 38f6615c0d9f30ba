"""The hooks of the fixed-point plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_quantizers() -> dict[str, str]:
    """Offer fixed point in both parameterizations, and the sets of few given values."""
    return {
        "kbi": "hgq2_fixed_point.config:KBI",
        "kif": "hgq2_fixed_point.config:KIF",
        "binary": "hgq2_fixed_point.discrete_config:Binary",
        "ternary": "hgq2_fixed_point.discrete_config:Ternary",
        "power_of_two": "hgq2_fixed_point.discrete_config:PowerOfTwo",
        "none": "hgq2_fixed_point.discrete_config:Identity",
    }
