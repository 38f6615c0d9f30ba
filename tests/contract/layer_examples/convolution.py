"""Convolutions: strides, padding, dilation, groups, and both data formats among them."""

EXAMPLES = {
    "layers.conv1d": [
        ({"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}, (6, 2)),
        ({"filters": 2, "kernel_size": [2], "padding": "causal", "dilation_rate": 2, "use_bias": False}, (5, 2)),
    ],
    "layers.conv1d_transpose": [
        ({"filters": 2, "kernel_size": 3, "strides": 2, "activation": "relu"}, (3, 2)),
        ({"filters": 2, "kernel_size": 3, "padding": "same", "data_format": "channels_first"}, (2, 4)),
    ],
    "layers.conv2d": [
        ({"filters": 2, "kernel_size": 2, "activation": "relu"}, (3, 3, 2)),
        ({"filters": 4, "kernel_size": [2, 3], "strides": [2, 1], "padding": "same", "groups": 2}, (3, 3, 2)),
        ({"filters": 2, "kernel_size": 2, "dilation_rate": [1, 2], "data_format": "channels_first"}, (2, 3, 4)),
    ],
    "layers.conv2d_transpose": [
        ({"filters": 2, "kernel_size": 2, "strides": [1, 2], "padding": "same"}, (2, 2, 2)),
        ({"filters": 2, "kernel_size": [2, 3], "strides": 2, "output_padding": [0, 1]}, (2, 2, 1)),
    ],
    "layers.conv3d": [
        ({"filters": 2, "kernel_size": [2, 1, 2], "strides": [1, 2, 1], "padding": "same"}, (2, 3, 2, 2)),
    ],
    "layers.conv3d_transpose": [
        ({"filters": 2, "kernel_size": [2, 1, 2], "strides": [1, 1, 2], "padding": "same"}, (2, 2, 1, 2)),
    ],
    "layers.depthwise_conv1d": [
        ({"kernel_size": 2, "depth_multiplier": 2, "padding": "same", "activation": "relu"}, (4, 2)),
    ],
    "layers.depthwise_conv2d": [
        ({"kernel_size": [2, 3], "strides": 2, "padding": "same"}, (4, 4, 2)),
        ({"kernel_size": 2, "depth_multiplier": 2, "data_format": "channels_first", "use_bias": False}, (2, 3, 3)),
    ],
    "layers.separable_conv1d": [
        ({"filters": 2, "kernel_size": 2, "depth_multiplier": 2, "dilation_rate": 2}, (5, 2)),
    ],
    "layers.separable_conv2d": [
        ({"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same", "activation": "relu"}, (3, 3, 2)),
        (
            {"filters": 2, "kernel_size": 2, "data_format": "channels_first", "output_quantizer": "fixed_point.kif"},
            (2, 3, 3),
        ),
    ],
}
