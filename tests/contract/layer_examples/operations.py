"""Operations on tensors as layers; those that are exact on any float, as they have no quantizers of their own."""

EXAMPLES = {
    "layers.operation": [
        ({"function": "maximum"}, [(2, 3), (2, 3)]),
        ({"function": "get_item", "operands": ["input", "[:, 1:, None, -1]"]}, (3, 2)),
        ({"function": "concatenate", "arguments": {"axis": 1}}, [(2, 3), (1, 3)]),
        ({"function": "multiply", "operands": [0.5, "input"]}, (3,)),
        ({"function": "where", "operands": [True, "input", "input"]}, [(3,), (3,)]),
    ],
}
