"""The hooks of the minifloat plugin."""

from hgq2_core.hookspecs import hookimpl


@hookimpl
def hgq2_quantizers() -> dict[str, str]:
    """Offer minifloats of trained bits, and the standard formats by name."""
    return {
        "minifloat": "hgq2_minifloat.config:Minifloat",
        "mxint": "hgq2_minifloat.integers:MXInt",
        "float4_e2m1fn": "hgq2_minifloat.presets:Float4E2M1FN",
        "float6_e2m3fn": "hgq2_minifloat.presets:Float6E2M3FN",
        "float6_e3m2fn": "hgq2_minifloat.presets:Float6E3M2FN",
        "float8_e3m4": "hgq2_minifloat.presets:Float8E3M4",
        "float8_e4m3": "hgq2_minifloat.presets:Float8E4M3",
        "float8_e4m3b11fnuz": "hgq2_minifloat.presets:Float8E4M3B11FNUZ",
        "float8_e4m3fn": "hgq2_minifloat.presets:Float8E4M3FN",
        "float8_e4m3fnuz": "hgq2_minifloat.presets:Float8E4M3FNUZ",
        "float8_e5m2": "hgq2_minifloat.presets:Float8E5M2",
        "float8_e5m2fnuz": "hgq2_minifloat.presets:Float8E5M2FNUZ",
        "bfloat16": "hgq2_minifloat.presets:BFloat16",
        "float16": "hgq2_minifloat.presets:Float16",
    }
