"""Layers that merge a list of inputs, or the elements of one."""

FEW = {"kind": "fixed_point.kif", "f": 1, "granularity": "tensor"}
PAIR = [(3,), (3,)]
BROADCAST = [(2, 3), (3,), (1, 3)]

EXAMPLES = {
    "layers.add": [({}, PAIR), ({"output_quantizer": "fixed_point.kif"}, BROADCAST)],
    "layers.average": [({}, PAIR), ({"reciprocal_quantizer": "fixed_point.kbi"}, BROADCAST)],
    "layers.average_pow2": [({}, BROADCAST)],
    "layers.concatenate": [({}, PAIR), ({"axis": 1, "output_quantizer": "fixed_point.kif"}, [(2, 3), (1, 3), (4, 3)])],
    "layers.dot": [
        ({"axes": -1}, PAIR),
        ({"axes": [1, 2], "output_quantizer": "fixed_point.kif"}, [(3, 2), (2, 3)]),
        ({"axes": [2, 1]}, [(2, 3), (3,)]),
    ],
    "layers.einsum": [
        ({"equation": "bqd,bkd->bqk"}, [(2, 3), (4, 3)]),
        ({"equation": "...i,...i->...i", "output_quantizer": "fixed_point.kif"}, [(2, 3), (2, 3)]),
        ({"equation": "abc,ad->adbc"}, [(2, 2), (3,)]),
        ({"equation": "bi,bij,bj->b", "input_quantizer": FEW}, [(2,), (2, 3), (3,)]),
    ],
    "layers.maximum": [({}, BROADCAST)],
    "layers.mean_pow2": [({}, (3,)), ({"axes": [1, 2], "keepdims": True}, (3, 2, 2))],
    "layers.minimum": [({}, PAIR)],
    "layers.multiply": [
        ({"input_quantizer": ["fixed_point.kif", {"kind": "fixed_point.kbi", "b": 3}]}, PAIR),
        ({}, PAIR),
        ({"input_quantizer": {"kind": "fixed_point.kif", "f": 2}}, BROADCAST),
    ],
    "layers.subtract": [({}, PAIR), ({"output_quantizer": "fixed_point.kif"}, [(2, 3), (3,)])],
    "layers.sum": [({}, (3,)), ({"axes": [1, -1], "scale": 0.25, "output_quantizer": "fixed_point.kif"}, (3, 2, 2))],
}
