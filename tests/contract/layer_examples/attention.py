"""Softmax and attention."""

ROUGH = {"kind": "random_normal", "stddev": 0.5, "seed": 1}
SATURATING = {"kind": "fixed_point.kif", "i": 3, "f": 3, "overflow_mode": "SAT"}

EXAMPLES = {
    "attention.grouped_query_attention": [
        ({"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1}, (3, 4)),
        (
            {"head_dim": 1, "num_query_heads": 4, "num_key_value_heads": 2, "use_gate": True, "sliding_window": 2},
            [(2, 3), (3, 4)],
        ),
    ],
    "attention.linformer_attention": [
        ({"num_heads": 2, "key_dim": 2, "projected_length": 2}, (3, 4)),
        (
            {"num_heads": 1, "key_dim": 2, "projected_length": [2, 1], "share_sequence_projection": False},
            [(2, 2, 3), (2, 3, 2)],
        ),
    ],
    "attention.multi_head_attention": [
        ({"num_heads": 2, "key_dim": 2}, (3, 4)),
        (
            {"num_heads": 1, "key_dim": 2, "value_dim": 3, "fuse": "kv", "output_quantizer": "fixed_point.kif"},
            [(2, 3), (3, 4)],
        ),
        ({"num_heads": 2, "key_dim": 2, "fuse": "qkv", "use_bias": False, "dropout": 0.1}, (3, 4)),
        ({"num_heads": 3, "key_dim": 1, "output_shape": [2, 2], "sliding_window": 2, "stable": False}, (3, 4)),
        ({"num_heads": 2, "key_dim": 2, "position_bias": "relative", "position_bias_initializer": ROUGH}, (3, 4)),
        (
            {"num_heads": 1, "key_dim": 2, "position_bias": "bucketed", "position_buckets": 4, "max_distance": 3},
            [(2, 3), (3, 4)],
        ),
        ({"num_heads": 1, "key_dim": 2, "attention_axes": [1, 2], "parallelization_factor": 2}, (2, 2, 3)),
        ({"num_heads": 2, "key_dim": 2, "attention_axes": -2, "use_gate": True}, [(2, 2, 3), (2, 3, 3)]),
    ],
    "attention.softmax": [
        ({}, (5,)),
        ({"stable": False, "scale": 0.5, "axis": [1, 2], "output_quantizer": "fixed_point.kif"}, (2, 3, 2)),
        (
            {
                "axis": 1,
                "heterogeneous": True,
                "parallelization_factor": 2,
                "difference_quantizer": SATURATING,
                "exp_quantizer": {"kind": "fixed_point.kif", "k": 0, "i": 1, "f": 5, "granularity": "element"},
                "inverse_quantizer": {"kind": "fixed_point.kif", "k": 0, "i": 1, "f": 5, "overflow_mode": "SAT"},
            },
            (3, 2),
        ),
    ],
}
