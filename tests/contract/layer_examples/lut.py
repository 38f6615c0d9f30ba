"""Lookup-table networks."""

NARROW = {"kind": "fixed_point.kif", "i": 2, "f": 2, "overflow_mode": "SAT", "granularity": "channel"}
PAIRS = {"kind": "fixed_point.kbi", "b": 4, "granularity": "element"}

EXAMPLES = {
    "layers.conv1d_lut": [
        ({"filters": 2, "kernel_size": 2, "strides": 2, "padding": "same", "input_quantizer": NARROW}, (5, 2)),
        ({"filters": 2, "kernel_size": 2, "dilation_rate": 2, "table_quantizer": PAIRS}, (4, 1)),
        ({"filters": 2, "kernel_size": 2, "data_format": "channels_first", "input_quantizer": NARROW}, (1, 4)),
    ],
    "layers.conv2d_lut": [
        (
            {
                "filters": 1,
                "kernel_size": [2, 1],
                "strides": [1, 2],
                "padding": "same",
                "activation": "relu",
                "input_quantizer": NARROW,
            },
            (3, 3, 2),
        ),
    ],
    "layers.dense_lut": [
        ({"units": 2, "activation": "relu", "hidden_units": 3}, (3,)),
        (
            {
                "units": 2,
                "hidden_layers": 2,
                "hidden_activation": "relu",
                "table_quantizer": {**PAIRS, "overflow_mode": "WRAP"},
                "output_quantizer": "fixed_point.kif",
            },
            (2, 3),
        ),
        ({"units": 2, "hidden_layers": 0, "input_quantizer": NARROW, "table_quantizer": PAIRS}, (3,)),
        ({"units": 2, "batch_norm": True, "use_bias": False, "table_inputs": 6, "parallelization_factor": 1}, (2, 3)),
    ],
    "layers.einsum_dense_lut": [
        ({"equation": "abc,cd->abd", "output_shape": [None, 2], "activation": "relu", "hidden_units": 3}, (2, 3)),
        (
            {
                "equation": "abc,cbd->adb",
                "output_shape": [2, 2],
                "hidden_layers": 0,
                "input_quantizer": NARROW,
                "table_quantizer": PAIRS,
                "output_quantizer": "fixed_point.kif",
            },
            (2, 3),
        ),
        ({"equation": "...b,bc->...c", "output_shape": 2, "table_quantizer": PAIRS}, (3,)),
    ],
}
