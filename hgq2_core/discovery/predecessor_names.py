"""The names of HGQ2 and QKeras for what has another name here."""

from __future__ import annotations

from collections.abc import Mapping

PREDECESSOR_NAMES: Mapping[str, str] = {
    "BetaScheduler": "training.beta_schedule",
    "FreeEBOPs": "training.ebops",
    "HardSigmoidConfig": "layers.hard_sigmoid",
    "HardTanhConfig": "layers.hard_tanh",
    "LayerConfigScope": "hgq2_core:defaults",
    "ParetoFront": "training.pareto_front",
    "PieceWiseSchedule": "training.beta_schedule",
    "QActivation": "layers.unary_function",
    "QAdaptiveActivation": "hgq2_core:fit_ranges",
    "QAffinedUnaryFunctionLUT": "layers.affine_unary_function",
    "QConv2DBatchnorm": "layers.conv2d_batch_norm",
    "QConvT1D": "layers.conv1d_lut",
    "QConvT2D": "layers.conv2d_lut",
    "QDenseT": "layers.dense_lut",
    "QDepthwiseConv2DBatchnorm": "layers.depthwise_conv2d_batch_norm",
    "QEinsumDenseBatchnorm": "layers.einsum_dense_batch_norm",
    "QEinsumDenseT": "layers.einsum_dense_lut",
    "QLIF": "layers.leaky_integrate_and_fire",
    "QLIFCell": "layers.leaky_integrate_and_fire_cell",
    "QMobileNetSeparableConv2D": "layers.depthwise_conv2d",
    "QNoiseScheduler": "training.noise_schedule",
    "QScaleShift": "layers.batch_normalization",
    "QSimpleSNN": "layers.integrate_and_fire",
    "QSimpleSNNCell": "layers.integrate_and_fire_cell",
    "QTools": "hgq2_core:estimate",
    "QUnaryFunctionLUT": "layers.unary_function",
    "Quantizer": "layers.quantize",
    "QuantizerConfigScope": "hgq2_core:defaults",
    "binary": "fixed_point.binary",
    "default_configs": "hgq2_core:defaults",
    "extract_model_operations": "hgq2_core:summary",
    "global_config": "hgq2_core:defaults",
    "load_qmodel": "hgq2_core:load_model",
    "model_quantize": "hgq2_core:quantize_model",
    "model_save_quantized_weights": "hgq2_core:freeze",
    "print_qenergy": "hgq2_core:summary",
    "print_qstats": "hgq2_core:summary",
    "quantized_bits": "fixed_point.kbi",
    "quantized_hswish": "layers.unary_function",
    "quantized_linear": "fixed_point.kif",
    "quantized_model_debug": "hgq2_core:doctor",
    "quantized_model_from_json": "hgq2_core:load_config",
    "quantized_po2": "fixed_point.power_of_two",
    "quantized_relu": "layers.relu",
    "quantized_sigmoid": "layers.hard_sigmoid",
    "quantized_tanh": "layers.hard_tanh",
    "ternary": "fixed_point.ternary",
    "trace_minmax": "hgq2_core:calibrate",
}
"""By the name there: a kind, or `module:name`."""


def check_predecessor(package: str, name: str) -> None:
    """Refuse a name of HGQ2 or QKeras with what it is called here.

    Args:
        package: the module that has no such name.
        name: what was asked of it.

    Raises:
        ImportError: the name is one of theirs. `from … import …` would replace the text of an AttributeError.
    """
    if name in PREDECESSOR_NAMES:
        place = PREDECESSOR_NAMES[name]
        ours = place.replace(":", ".") if ":" in place else f"the kind {place!r}"
        raise ImportError(f"module {package!r} has no {name!r}, a name of HGQ2 or QKeras. Here it is {ours}.")
