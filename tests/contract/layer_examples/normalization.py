"""Normalizations by batch and by row, and Dense and EinsumDense with one folded in."""

MOVED = {"moving_mean_initializer": {"kind": "constant", "value": 0.3}, "beta_initializer": "ones"}
SCALED = {"moving_variance_initializer": {"kind": "constant", "value": 0.4}}

EXAMPLES = {
    "layers.dense_batch_norm": [
        ({"units": 3, "activation": "relu", **MOVED, **SCALED}, (4,)),
        ({"units": 2, "center": False, "scale": False, "output_quantizer": "fixed_point.kif", "epsilon": 0.1}, (3, 4)),
    ],
    "layers.batch_norm_dense": [
        ({"units": 3, "activation": "relu", "moving_mean_initializer": "ones", **SCALED}, (4,)),
        ({"units": 2, "use_bias": False, "scale": False, "output_quantizer": "fixed_point.kif"}, (3, 4)),
    ],
    "layers.einsum_dense_batch_norm": [
        ({"equation": "abc,cd->abd", "output_shape": [None, 3], "bias_axes": "d", **MOVED, **SCALED}, (2, 4)),
        ({"equation": "...a,ab->...b", "output_shape": 3, "normalize_axes": "b", "center": False}, (2, 4)),
        (
            {"equation": "ab,cbd->adc", "output_shape": [2, 3], "normalize_axes": "cd", "bias_axes": "d", **MOVED},
            (4,),
        ),
    ],
    "layers.batch_normalization": [
        ({**MOVED, **SCALED}, (4,)),
        ({"axis": 1, "center": False, "output_quantizer": "fixed_point.kif", **SCALED}, (3, 4)),
        ({"axis": 2, "scale": False, "epsilon": 0.1}, (2, 3, 2)),
    ],
    "layers.normalization": [
        ({"mean": 0.3, "variance": [0.5, 2.0, 3.0]}, (2, 3)),
        ({"axis": None, "mean": -0.4, "variance": 0.3, "invert": True, "output_quantizer": "fixed_point.kif"}, (4,)),
    ],
    "layers.rescaling": [
        ({"scale": 0.3}, (2, 3)),
        ({"scale": [0.1, -3.0, 0.7], "offset": -0.2, "output_quantizer": "fixed_point.kif"}, (2, 3)),
    ],
    "layers.layer_normalization": [
        ({"beta_initializer": "ones"}, (3, 4)),
        (
            {"axis": [1, 2], "scale": False, "reciprocal_quantizer": "fixed_point.kbi", "difference_quantizer": "none"},
            (2, 3, 2),
        ),
        ({"axis": 1, "center": False, "mean_quantizer": "none", "output_quantizer": "fixed_point.kif"}, (4, 3)),
    ],
    "layers.rms_normalization": [
        ({"epsilon": 0.01}, (3, 4)),
        ({"normalized_quantizer": "none", "reciprocal_quantizer": "fixed_point.kbi"}, (5,)),
    ],
    "layers.group_normalization": [
        ({"groups": 2, "beta_initializer": "ones"}, (2, 4)),
        ({"groups": 3, "axis": 1, "reciprocal_quantizer": "fixed_point.kbi", "scale": False}, (3, 5)),
    ],
}
