"""The public names of HGQ2 0.2.0 and QKeras, as their documentation has them, and what there is here in their place.

A class here of the same name needs no word.
"""

HGQ2 = {
    "hgq.layers": (
        "Quantizer", "QAdd", "QAffinedUnaryFunctionLUT", "QAveragePooling1D", "QAveragePooling2D", "QAveragePooling3D",
        "QAveragePow2", "QAvgPool1D", "QAvgPool2D", "QAvgPool3D", "QBatchNormDense", "QBatchNormalization", "QConv1D",
        "QConv2D", "QConv3D", "QConvT1D", "QConvT2D", "QDense", "QDenseT", "QDot", "QEinsum", "QEinsumDense",
        "QEinsumDenseBatchnorm", "QEinsumDenseT", "QGRU", "QGlobalAveragePooling1D", "QGlobalAveragePooling2D",
        "QGlobalAveragePooling3D", "QGlobalAvgPool1D", "QGlobalAvgPool2D", "QGlobalAvgPool3D", "QGlobalMaxPool1D",
        "QGlobalMaxPool2D", "QGlobalMaxPool3D", "QGlobalMaxPooling1D", "QGlobalMaxPooling2D", "QGlobalMaxPooling3D",
        "QGRUCell", "QLIF", "QLIFCell", "QLinformerAttention", "QLinformerAttentionT", "QMaxPool1D", "QMaxPool2D",
        "QMaxPool3D", "QMaxPooling1D", "QMaxPooling2D", "QMaxPooling3D", "QMaximum", "QMeanPow2", "QMinimum",
        "QMultiHeadAttention", "QMultiHeadAttentionT", "QMultiply", "QSALTAttention", "QSimpleRNN", "QSimpleRNNCell",
        "QSimpleSNN", "QSimpleSNNCell", "QSoftmax", "QSubtract", "QSum", "QUnaryFunctionLUT",
    ),
    "hgq.quantizer": ("Quantizer", "QuantizerConfig"),
    "hgq.config": (
        "HardSigmoidConfig", "HardTanhConfig", "LayerConfigScope", "QuantizerConfig", "QuantizerConfigScope",
        "default_configs", "global_config",
    ),
    "hgq.regularizers": ("MonoL1",),
    "hgq.constraints": ("Constant", "Max", "Min", "MinMax"),
    "hgq.utils": ("trace_minmax",),
    "hgq.utils.sugar": (
        "BetaPID", "BetaScheduler", "Dataset", "EarlyStoppingWithEbopsThres", "FreeEBOPs", "PBar", "ParetoFront",
        "PieceWiseSchedule", "StopIf",
    ),
}  # fmt: skip

QKERAS = {
    "layers": (
        "QActivation", "QAdaptiveActivation", "QAveragePooling2D", "QBatchNormalization", "QBidirectional", "QConv1D",
        "QConv2D", "QConv2DBatchnorm", "QConv2DTranspose", "QDense", "QDepthwiseConv2D", "QDepthwiseConv2DBatchnorm",
        "QGRU", "QGRUCell", "QGlobalAveragePooling2D", "QLSTM", "QLSTMCell", "QMobileNetSeparableConv2D",
        "QOctaveConv2D", "QScaleShift", "QSeparableConv1D", "QSeparableConv2D", "QSimpleRNN", "QSimpleRNNCell",
    ),
    "quantizers": (
        "bernoulli", "binary", "quantized_bits", "quantized_hswish", "quantized_linear", "quantized_po2",
        "quantized_relu", "quantized_relu_po2", "quantized_sigmoid", "quantized_tanh", "quantized_ulaw",
        "stochastic_binary", "stochastic_ternary", "ternary",
    ),
    "functions": (
        "Clip", "QInitializer", "QNoiseScheduler", "convert_folded_model_to_normal", "extract_model_operations",
        "get_quantizer", "load_qmodel", "model_quantize", "model_save_quantized_weights", "print_qenergy",
        "print_qstats", "quantized_model_debug", "quantized_model_from_json", "unfold_model",
    ),
    "autoqkeras, qtools": ("AutoQKeras", "AutoQKerasScheduler", "QTools"),
}  # fmt: skip

OURS = {
    "BetaPID": "hgq2_training:Budget",
    "BetaScheduler": "training.beta_schedule",
    "Constant": "fixed_point.kbi",
    "EarlyStoppingWithEbopsThres": "training.early_stopping",
    "FreeEBOPs": "training.ebops",
    "HardSigmoidConfig": "layers.hard_sigmoid",
    "HardTanhConfig": "layers.hard_tanh",
    "LayerConfigScope": "hgq2_core:defaults",
    "Max": "fixed_point.kbi",
    "Min": "fixed_point.kbi",
    "MinMax": "fixed_point.kbi",
    "MonoL1": "fixed_point.kbi",
    "ParetoFront": "training.pareto_front",
    "PieceWiseSchedule": "training.beta_schedule",
    "QActivation": "layers.quantize",
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
    "QuantizerConfig": "fixed_point.kbi",
    "QuantizerConfigScope": "hgq2_core:defaults",
    "StopIf": "hgq2_training:StopIf",
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
    "quantized_linear": "fixed_point.kbi",
    "quantized_model_debug": "hgq2_core:doctor",
    "quantized_model_from_json": "hgq2_core:load_config",
    "quantized_po2": "fixed_point.power_of_two",
    "quantized_relu": "layers.relu",
    "quantized_relu_po2": "layers.relu",
    "quantized_sigmoid": "layers.hard_sigmoid",
    "quantized_tanh": "layers.hard_tanh",
    "ternary": "fixed_point.ternary",
    "trace_minmax": "hgq2_core:calibrate",
}
"""By the name there, where the name here differs: a kind, or `module:name`."""

BOUNDS = "its bounds, such as `b_bounds: [0, 8]`"
RANDOM = "rounding is not random in inference; `training.noise_schedule` anneals noise in training"
BACKEND = "Keras' own callbacks and data sets serve"
TABLES = "attention from lookup tables is not written yet"
FIELDS = "the [fields](coming_from_hgq2.md#quantizers-and-activations)"

NOTES = {
    "BetaPID": "`training: {budget: {ebops: N}}`",
    "Constant": "its bounds, both the same",
    "EarlyStoppingWithEbopsThres": "`when: {metric: ebops, below: N}`",
    "HardSigmoidConfig": "`slope: 0.25`; without, Keras' sixth",
    "LayerConfigScope": "the section `defaults`",
    "Max": BOUNDS,
    "Min": BOUNDS,
    "MinMax": BOUNDS,
    "MonoL1": "its regularizers, such as `b_regularizer: 1.0e-6`",
    "QActivation": f"or the layer of the function; {FIELDS}",
    "QMobileNetSeparableConv2D": "and `layers.conv2d` behind it",
    "QuantizerConfig": "`fixed_point.kif` or `minifloat.minifloat`; the [fields](coming_from_hgq2.md#fields)",
    "QuantizerConfigScope": "the section `defaults`",
    "StopIf": "`training: {stop_if: …}`",
    "default_configs": "the section `defaults`",
    "global_config": "the section `defaults`",
    "quantized_bits": FIELDS,
    "quantized_hswish": "`function: hard_swish`",
    "quantized_linear": FIELDS,
    "quantized_po2": FIELDS,
    "quantized_relu": "with an output quantizer",
    "quantized_relu_po2": "with the output quantizer `fixed_point.power_of_two`",
    "quantized_sigmoid": "`slope: 0.5`; without, Keras' sixth",
    "ternary": FIELDS,
}
"""What a name here needs to be the one there."""

WITHOUT = {
    "AutoQKeras": "widths are trained by gradients, not searched",
    "AutoQKerasScheduler": "widths are trained by gradients, not searched",
    "Clip": "ranges are trained; `kernel_constraint` takes any constraint of Keras",
    "Dataset": BACKEND,
    "PBar": BACKEND,
    "QBidirectional": "`keras.layers.Bidirectional` holds quantized layers",
    "QInitializer": "`hgq2_core.fit_ranges` fits formats to any initializer",
    "QLinformerAttentionT": TABLES,
    "QMultiHeadAttentionT": TABLES,
    "QOctaveConv2D": "convolutions, pooling, upsampling and `layers.add` make it",
    "QSALTAttention": "its equation is not written yet",
    "bernoulli": RANDOM,
    "convert_folded_model_to_normal": "nothing is folded that has to be undone",
    "get_quantizer": "a config: a kind and its fields, no text of code",
    "quantized_ulaw": "no exact arithmetic in integers",
    "stochastic_binary": RANDOM,
    "stochastic_ternary": RANDOM,
    "unfold_model": "nothing is folded that has to be undone",
}
"""Why there is none here. A class of the same name, once there is one, takes precedence."""
