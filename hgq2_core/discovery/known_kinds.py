"""The kinds of the plugins of this repository, so that a message can say what to install for one."""

from __future__ import annotations

from collections.abc import Mapping

KNOWN_KINDS: Mapping[str, Mapping[str, str]] = {
    "quantizers": {
        "fixed_point": "binary kbi kif none power_of_two ternary",
        "minifloat": (
            "bfloat16 float16 float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 float8_e4m3 "
            "float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz minifloat mxint"
        ),
    },
    "layers": {
        "attention": "grouped_query_attention linformer_attention multi_head_attention softmax",
        "layers": (
            "add affine_unary_function average average_pooling1d average_pooling2d average_pooling3d average_pow2 "
            "batch_norm_dense batch_normalization concatenate conv1d conv1d_batch_norm conv1d_lut "
            "conv1d_transpose conv1d_transpose_batch_norm conv2d conv2d_batch_norm conv2d_lut conv2d_transpose "
            "conv2d_transpose_batch_norm conv3d conv3d_batch_norm conv3d_transpose conv3d_transpose_batch_norm "
            "dense dense_batch_norm dense_lut depthwise_conv1d depthwise_conv1d_batch_norm depthwise_conv2d "
            "depthwise_conv2d_batch_norm dot einsum einsum_dense einsum_dense_batch_norm einsum_dense_lut "
            "embedding global_average_pooling1d global_average_pooling2d global_average_pooling3d "
            "global_max_pooling1d global_max_pooling2d global_max_pooling3d group_normalization gru gru_cell "
            "hard_sigmoid hard_tanh integrate_and_fire integrate_and_fire_cell layer_normalization "
            "leaky_integrate_and_fire leaky_integrate_and_fire_cell leaky_relu lstm lstm_cell max_pooling1d "
            "max_pooling2d max_pooling3d maximum mean_pow2 minimum multiply normalization operation prelu "
            "quantize relu rescaling rms_normalization separable_conv1d separable_conv2d simple_rnn "
            "simple_rnn_cell subtract sum unary_function"
        ),
    },
    "callbacks": {
        "training": "beta_schedule early_stopping ebops noise_schedule pareto_front",
    },
    "datasets": {
        "training": "csv digits hdf5 magic npy npz parquet root toy_jets vowels",
    },
    "exporters": {
        "alkaid": "alkaid",
        "cpp": "cpp",
        "hls4ml": "hls4ml",
        "qonnx": "qonnx",
    },
}
"""For each group, the short kinds of each plugin, separated by spaces; a test compares them with the plugins' hooks."""
