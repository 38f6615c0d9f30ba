"""Layers with lookup tables."""

NARROW = {"kind": "kif", "i": 2, "f": 3, "overflow_mode": "SAT"}

EXAMPLES = {
    "layers.unary_function": [
        ({"activation": "tanh"}, (4,)),
        (
            {
                "activation": "gelu",
                "input_quantizer": NARROW,
                "table_quantizer": {"kind": "kif", "overflow_mode": "WRAP"},
            },
            (2, 3),
        ),
        ({"activation": "sigmoid", "input_quantizer": "ternary", "table_quantizer": "none"}, (3,)),
    ],
}
