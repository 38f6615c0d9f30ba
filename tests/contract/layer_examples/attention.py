"""Softmax and attention."""

SATURATING = {"kind": "kif", "i": 3, "f": 3, "overflow_mode": "SAT"}

EXAMPLES = {
    "attention.softmax": [
        ({}, (5,)),
        ({"stable": False, "scale": 0.5, "axis": [1, 2], "output_quantizer": "kif"}, (2, 3, 2)),
        (
            {
                "axis": 1,
                "heterogeneous": True,
                "parallelization_factor": 2,
                "difference_quantizer": SATURATING,
                "exp_quantizer": {"kind": "kif", "k": 0, "i": 1, "f": 5, "granularity": "element"},
                "inverse_quantizer": {"kind": "kif", "k": 0, "i": 1, "f": 5, "overflow_mode": "SAT"},
            },
            (3, 2),
        ),
    ],
}
