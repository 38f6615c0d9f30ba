"""From granularity to the shape of the bit variables; docs/numerics.md#4."""

from __future__ import annotations

import pytest

from hgq2_core.errors import ConfigError
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.granularity import bit_shape

WEIGHT = Slot("weight", "kernel", "layer")
ACTIVATION = Slot("activation", "input", "layer")


@pytest.mark.parametrize(
    ("granularity", "shape", "wanted"),
    [
        ("tensor", (4, 3), (1, 1)),
        ("channel", (4, 3), (1, 3)),
        ("element", (4, 3), (4, 3)),
        ((), (4, 3), (1, 1)),
        ((0,), (4, 3), (4, 1)),
        ((-2,), (4, 3), (4, 1)),
        ((0, -1), (4, 3), (4, 3)),
        ((1, -1), (4, 3), (1, 3)),
        ("tensor", (), ()),
        ("channel", (), ()),
        ("element", (), ()),
        ("channel", (3,), (3,)),
        ("element", (1, 3), (1, 3)),
        ("element", (0, 3), (0, 3)),
    ],
)
def test_weights(granularity, shape, wanted):
    assert bit_shape(granularity, shape, WEIGHT) == wanted


@pytest.mark.parametrize(
    ("granularity", "shape", "wanted"),
    [
        ("tensor", (None, 4, 3), (1, 1, 1)),
        ("channel", (None, 4, 3), (1, 1, 3)),
        ("element", (None, 4, 3), (1, 4, 3)),
        ("element", (32, 4, 3), (1, 4, 3)),
        ((1,), (None, 4, 3), (1, 4, 1)),
        ((-1,), (None, None, 3), (1, 1, 3)),
        ("tensor", (None, None, None), (1, 1, 1)),
        ("channel", (None,), (1,)),
        ("element", (None,), (1,)),
    ],
)
def test_activations(granularity, shape, wanted):
    assert bit_shape(granularity, shape, ACTIVATION) == wanted


@pytest.mark.parametrize(
    ("channel_axes", "wanted"), [((-1,), (1, 1, 5)), ((1,), (1, 4, 1)), ((1, 2), (1, 4, 5)), ((), (1, 1, 1))]
)
def test_the_slot_says_what_a_channel_is(channel_axes, wanted):
    assert bit_shape("channel", (3, 4, 5), Slot("weight", "kernel", "layer", channel_axes)) == wanted


@pytest.mark.parametrize("granularity", [(0,), (-3,), (1, 0)])
def test_the_batch_is_refused(granularity):
    with pytest.raises(ConfigError) as caught:
        bit_shape(granularity, (None, 4, 3), ACTIVATION)
    assert str(caught.value) == (
        f"layer.input: the batch axis cannot have bits of its own. "
        f"Received: granularity={granularity!r} for shape (None, 4, 3)."
    )


@pytest.mark.parametrize("axis", [3, -4, 17])
def test_an_axis_that_does_not_exist_is_refused(axis):
    with pytest.raises(ConfigError, match=rf"layer\.input: no such axis\. Received: axis {axis}\. Allowed: -3 to 2"):
        bit_shape((axis,), (None, 4, 3), ACTIVATION)


@pytest.mark.parametrize(("granularity", "axis"), [("element", 1), ("channel", 3), ((1,), 1), ((2, -1), 3)])
def test_an_axis_without_static_size_is_refused(granularity, axis):
    with pytest.raises(ConfigError) as caught:
        bit_shape(granularity, (None, None, 4, None), ACTIVATION)
    for part in (f"layer.input: axis {axis} of shape (None, None, 4, None)", repr(granularity), "share the bits"):
        assert part in str(caught.value)
