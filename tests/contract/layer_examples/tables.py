"""Layers with lookup tables, and activations without."""

NARROW = {"kind": "fixed_point.kif", "i": 2, "f": 3, "overflow_mode": "SAT"}
WRAPPING = {"kind": "fixed_point.kif", "overflow_mode": "WRAP"}
ROUGH = {"class_name": "RandomNormal", "config": {"stddev": 1.0, "seed": 3}}

EXAMPLES = {
    "layers.affine_unary_function": [
        ({"activation": "sigmoid", "scale_initializer": ROUGH, "offset_initializer": ROUGH}, (4,)),
        (
            {
                "activation": "silu",
                "per_channel": True,
                "scale_initializer": ROUGH,
                "offset_initializer": ROUGH,
                "table_quantizer": {"kind": "fixed_point.kbi", "overflow_mode": "WRAP", "granularity": "channel"},
            },
            (2, 3),
        ),
    ],
    "layers.embedding": [
        ({"input_dim": 5, "output_dim": 3, "embeddings_initializer": ROUGH}, (4,)),
        ({"input_dim": 8, "output_dim": 2, "embeddings_quantizer": {**WRAPPING, "granularity": "channel"}}, (2, 3)),
    ],
    "layers.hard_sigmoid": [
        ({}, (4,)),
        ({"table_quantizer": WRAPPING}, (2, 3)),
        ({"slope": 0.1875}, (4,)),
        ({"slope": 0.25, "table_quantizer": NARROW}, (2, 3)),
    ],
    "layers.hard_tanh": [({}, (4,)), ({"output_quantizer": NARROW}, (2, 3))],
    "layers.leaky_relu": [({}, (4,)), ({"negative_slope": 0.25, "output_quantizer": NARROW}, (2, 3))],
    "layers.prelu": [
        ({"alpha_initializer": ROUGH}, (4,)),
        ({"alpha_initializer": ROUGH, "shared_axes": [1], "output_quantizer": NARROW}, (2, 3)),
    ],
    "layers.relu": [
        ({}, (4,)),
        ({"max_value": 6.0, "output_quantizer": NARROW}, (2, 3)),
        ({"max_value": 1.7, "threshold": 0.3}, (3,)),
    ],
    "layers.unary_function": [
        ({"activation": "tanh"}, (4,)),
        ({"activation": "gelu", "input_quantizer": NARROW, "table_quantizer": WRAPPING}, (2, 3)),
        (
            {"activation": "sigmoid", "input_quantizer": "fixed_point.ternary", "table_quantizer": "fixed_point.none"},
            (3,),
        ),
    ],
}
