"""Layers that merge a list of inputs, element by element."""

PAIR = [(3,), (3,)]
BROADCAST = [(2, 3), (3,), (1, 3)]

EXAMPLES = {
    "layers.add": [({}, PAIR), ({"output_quantizer": "kif"}, BROADCAST)],
    "layers.average_pow2": [({}, BROADCAST)],
    "layers.maximum": [({}, BROADCAST)],
    "layers.minimum": [({}, PAIR)],
    "layers.multiply": [({}, PAIR), ({"input_quantizer": {"kind": "kif", "f": 2}}, BROADCAST)],
    "layers.subtract": [({}, PAIR), ({"output_quantizer": "kif"}, [(2, 3), (3,)])],
}
