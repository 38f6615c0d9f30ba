"""Convolutions with a normalization folded in: strides, groups, and both data formats among them."""

MOVED = {"moving_mean_initializer": {"kind": "constant", "value": 0.3}, "beta_initializer": "ones"}
SCALED = {"moving_variance_initializer": {"kind": "constant", "value": 0.4}}

EXAMPLES = {
    "layers.conv1d_batch_norm": [
        ({"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu", **MOVED}, (6, 2)),
    ],
    "layers.conv1d_transpose_batch_norm": [
        ({"filters": 2, "kernel_size": 2, "strides": 2, "data_format": "channels_first", **MOVED, **SCALED}, (2, 3)),
    ],
    "layers.conv2d_batch_norm": [
        ({"filters": 2, "kernel_size": 2, "activation": "relu", **MOVED, **SCALED}, (3, 3, 2)),
        ({"filters": 4, "kernel_size": 2, "groups": 2, "data_format": "channels_first", "scale": False}, (2, 3, 3)),
    ],
    "layers.conv2d_transpose_batch_norm": [
        ({"filters": 2, "kernel_size": 2, "strides": [1, 2], "center": False, **SCALED}, (2, 2, 2)),
    ],
    "layers.conv3d_batch_norm": [
        ({"filters": 2, "kernel_size": [2, 1, 2], "padding": "same", **MOVED, **SCALED}, (2, 2, 2, 1)),
    ],
    "layers.conv3d_transpose_batch_norm": [
        ({"filters": 2, "kernel_size": [1, 2, 1], "strides": [1, 2, 1], **MOVED, **SCALED}, (2, 1, 2, 1)),
    ],
    "layers.depthwise_conv1d_batch_norm": [
        ({"kernel_size": 2, "depth_multiplier": 2, "activation": "relu", **MOVED, **SCALED}, (3, 2)),
    ],
    "layers.depthwise_conv2d_batch_norm": [
        ({"kernel_size": 2, "depth_multiplier": 2, "data_format": "channels_first", **MOVED, **SCALED}, (2, 3, 3)),
    ],
}
