"""Convolutions: strides, padding, dilation, groups, and both data formats among them."""

EXAMPLES = {
    "layers.conv1d": [
        ({"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}, (6, 2)),
        ({"filters": 2, "kernel_size": [2], "padding": "causal", "dilation_rate": 2, "use_bias": False}, (5, 2)),
    ],
    "layers.conv2d": [
        ({"filters": 2, "kernel_size": 2, "activation": "relu"}, (3, 3, 2)),
        ({"filters": 4, "kernel_size": [2, 3], "strides": [2, 1], "padding": "same", "groups": 2}, (3, 3, 2)),
        ({"filters": 2, "kernel_size": 2, "dilation_rate": [1, 2], "data_format": "channels_first"}, (2, 3, 4)),
    ],
    "layers.conv3d": [
        ({"filters": 2, "kernel_size": [2, 1, 2], "strides": [1, 2, 1], "padding": "same"}, (2, 3, 2, 2)),
    ],
}
