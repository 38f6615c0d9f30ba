"""Dense, EinsumDense, and a quantizer alone."""

EXAMPLES = {
    "layers.quantize": [({}, (2, 3)), ({"quantizer": {"kind": "fixed_point.kbi", "overflow_mode": "SAT"}}, (4,))],
    "layers.dense": [
        ({"units": 3, "activation": "relu"}, (4,)),
        (
            {
                "units": 2,
                "accumulator_bits": 10,
                "kernel_quantizer": {"kind": "fixed_point.kbi", "round_mode": "TRN_ZERO", "overflow_mode": "SAT_SYM"},
            },
            (4,),
        ),
        ({"units": 2, "use_bias": False, "output_quantizer": "fixed_point.kif", "parallelization_factor": 2}, (3, 4)),
    ],
    "layers.einsum_dense": [
        ({"equation": "abc,cd->abd", "output_shape": [None, 3], "bias_axes": "d", "activation": "relu"}, (2, 4)),
        ({"equation": "...a,ab->...b", "output_shape": 3}, (2, 4)),
    ],
}
