"""Pooling: over windows and over everything; strides, padding, data formats, counts that are no powers of two."""

EXAMPLES = {
    "layers.average_pooling1d": [
        ({"pool_size": 2}, (4, 2)),
        ({"pool_size": 3, "strides": 2, "padding": "same", "reciprocal_quantizer": "fixed_point.kbi"}, (6, 2)),
    ],
    "layers.average_pooling2d": [
        ({"pool_size": 2, "strides": 1, "padding": "same"}, (3, 3, 2)),
        ({"pool_size": [2, 3], "reciprocal_quantizer": "fixed_point.kif", "data_format": "channels_first"}, (2, 4, 4)),
    ],
    "layers.average_pooling3d": [({"pool_size": [2, 1, 2]}, (2, 2, 2, 2))],
    "layers.global_average_pooling1d": [({}, (4, 2)), ({"masked": True}, (3, 2))],
    "layers.global_average_pooling2d": [
        ({"keepdims": True}, (2, 2, 2)),
        (
            {
                "reciprocal_quantizer": "fixed_point.kbi",
                "data_format": "channels_first",
                "output_quantizer": "fixed_point.kif",
            },
            (2, 3, 2),
        ),
    ],
    "layers.global_average_pooling3d": [({}, (2, 1, 2, 2))],
    "layers.global_max_pooling1d": [({}, (5, 2))],
    "layers.global_max_pooling2d": [({"keepdims": True, "data_format": "channels_first"}, (2, 3, 2))],
    "layers.global_max_pooling3d": [({}, (2, 1, 2, 2))],
    "layers.max_pooling1d": [({"pool_size": 3, "strides": 2, "padding": "same"}, (6, 2))],
    "layers.max_pooling2d": [
        ({}, (4, 4, 2)),
        ({"pool_size": [3, 2], "strides": [1, 2], "padding": "same", "data_format": "channels_first"}, (2, 3, 5)),
    ],
    "layers.max_pooling3d": [({"strides": 1}, (2, 3, 2, 2))],
}
