"""Layers that step through a sequence."""

EXAMPLES = {
    "layers.simple_rnn": [
        ({"units": 2}, (3, 2)),
        (
            {"units": 2, "activation": "relu", "use_bias": False, "go_backwards": True, "output_quantizer": "kif"},
            (3, 2),
        ),
        ({"units": 2, "return_sequences": True, "state_quantizer": {"kind": "kif", "overflow_mode": "WRAP"}}, (3, 2)),
    ],
}
