"""The conformance kit over everything that is registered: a new kind needs no test of its own for these rules."""

from __future__ import annotations

from typing import Any

import pytest

from hgq2_core.kinds import registry
from hgq2_core.testing import check_layer, check_quantizer

QUANTIZERS = registry().names("quantizers")
LAYERS = tuple(kind for kind in registry().names("layers") if not kind.startswith("keras."))

EXAMPLES: dict[str, list[tuple[dict[str, Any], Any]]] = {
    "layers.dense": [
        ({"units": 3, "activation": "relu"}, (4,)),
        ({"units": 2, "use_bias": False, "output_quantizer": "kif"}, (3, 4)),
    ],
    "layers.einsum_dense": [
        ({"equation": "abc,cd->abd", "output_shape": [None, 3], "bias_axes": "d", "activation": "relu"}, (2, 4)),
        ({"equation": "...a,ab->...b", "output_shape": 3}, (2, 4)),
    ],
}
"""Small arguments and input shapes for each kind of layer."""


@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT_SYM"])
@pytest.mark.parametrize("kind", QUANTIZERS)
def test_quantizer(kind: str, overflow_mode: str) -> None:
    cls = registry().load("quantizers", kind)
    modes = {"overflow_mode": overflow_mode} if "overflow_mode" in cls.model_fields else {}
    check_quantizer(cls(**modes), imports=overflow_mode == "WRAP")


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("kind", QUANTIZERS)
def test_quantizer_that_shares_its_bits(kind: str, granularity: str) -> None:
    cls = registry().load("quantizers", kind)
    if "granularity" not in cls.model_fields:
        pytest.skip("has no bits to share")
    check_quantizer(cls(granularity=granularity), imports=False)


def test_every_layer_has_an_example() -> None:
    assert set(EXAMPLES) == set(LAYERS)


@pytest.mark.parametrize(
    ("kind", "arguments", "input_shape"),
    [(kind, arguments, shape) for kind in EXAMPLES for arguments, shape in EXAMPLES[kind]],
)
def test_layer(kind: str, arguments: dict[str, Any], input_shape: Any) -> None:
    check_layer({"kind": kind, **arguments}, input_shape)
