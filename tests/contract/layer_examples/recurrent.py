"""Layers that step through a sequence."""

EXAMPLES = {
    "layers.gru": [
        ({"units": 2}, (2, 2)),
        ({"units": 2, "reset_after": False, "return_sequences": True, "output_quantizer": "fixed_point.kif"}, (2, 2)),
        ({"units": 2, "activation": "relu", "recurrent_activation": "hard_sigmoid", "use_bias": False}, (3, 2)),
    ],
    "layers.gru_cell": [({"units": 2}, (3,)), ({"units": 2, "reset_after": False, "use_bias": False}, (3,))],
    "layers.integrate_and_fire": [
        ({}, (3, 2)),
        ({"threshold": 0.5, "reset_mechanism": "zero", "surrogate": "arctan", "return_sequences": False}, (3, 2)),
        ({"go_backwards": True, "membrane_quantizer": {"kind": "fixed_point.kif", "overflow_mode": "WRAP"}}, (2, 2, 2)),
    ],
    "layers.integrate_and_fire_cell": [({"units": 3, "learn_threshold": True, "inhibition": True}, (3,))],
    "layers.leaky_integrate_and_fire_cell": [({"units": 2, "beta": 0.5, "learn_beta": True}, (2,))],
    "layers.leaky_integrate_and_fire": [
        ({"beta": 0.5, "learn_beta": True, "inhibition": True, "reset_mechanism": "none"}, (2, 3)),
        ({"beta": 0.5}, (3, 2)),
        ({"beta": 0.875, "reset_mechanism": "zero", "threshold": 0.75, "slope": 4.0}, (3, 2)),
    ],
    "layers.lstm": [
        ({"units": 2}, (2, 2)),
        ({"units": 2, "recurrent_activation": "hard_sigmoid", "return_sequences": True, "use_bias": False}, (2, 2)),
        ({"units": 2, "activation": "relu", "go_backwards": True, "output_quantizer": "fixed_point.kif"}, (2, 2)),
    ],
    "layers.lstm_cell": [({"units": 2}, (3,)), ({"units": 2, "activation": "relu", "parallelization_factor": 3}, (2,))],
    "layers.simple_rnn_cell": [({"units": 2}, (3,)), ({"units": 2, "activation": "relu", "use_bias": False}, (2,))],
    "layers.simple_rnn": [
        ({"units": 2}, (3, 2)),
        (
            {
                "units": 2,
                "activation": "relu",
                "use_bias": False,
                "go_backwards": True,
                "output_quantizer": "fixed_point.kif",
            },
            (3, 2),
        ),
        (
            {
                "units": 2,
                "return_sequences": True,
                "state_quantizer": {"kind": "fixed_point.kif", "overflow_mode": "WRAP"},
            },
            (3, 2),
        ),
    ],
}
