"""Keras' Rescaling in front of a model: exact where nothing rounds, refused with the remedy elsewhere."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import ExactnessError, calibrate, export, unsupported_layers, verify
from hgq2_layers import QDense

layers = keras.layers
IMAGES = np.random.default_rng(9).integers(0, 256, size=(64, 4, 4, 2)).astype(np.uint8)


def model_of(scale, offset=0.0, dtype="uint8") -> keras.Model:
    keras.utils.set_random_seed(9)
    inputs = keras.Input((4, 4, 2), dtype=dtype, name="image")
    scaled = layers.Rescaling(scale, offset, name="scaled")(inputs)
    return keras.Model(inputs, QDense(3)(layers.Flatten()(scaled)))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 256, 0.0), (-1 / 128, 1.0), (0.375, -48.0), ([1 / 256, 1 / 64], [0.0, -2.0])]
)
def test_scales_that_do_not_round_are_verified(scale, offset, dtype):
    model = model_of(scale, offset, dtype)
    calibrate(model, IMAGES.astype(dtype))
    assert not unsupported_layers(model)
    report = verify(model, IMAGES.astype(dtype))
    assert report.ok and "scaled" in [row.name for row in report.layers]


@pytest.mark.once
def test_a_shift_of_bytes_needs_no_quantizer_in_front_of_a_circuit(tmp_path):
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")
    model = model_of(1 / 256)
    calibrate(model, IMAGES)
    (port,) = export(model, "alkaid", tmp_path / "rtl", IMAGES).inputs
    assert {(element.k, element.i, element.f) for element in port.elements} <= {(0, 8, 0), (0, 0, 0)}


@pytest.mark.once
@pytest.mark.parametrize(
    ("scale", "offset", "name", "value", "near"),
    [
        (1 / 255, 0.0, "scale", "0.00392156862745098", "0.00390625"),
        (1 / 128, [0.0, -0.1], "offset", "-0.1", "-0.125"),
    ],
)
def test_scales_that_round_are_refused_with_the_remedy(scale, offset, name, value, near):
    problem = (
        f"{name} of an exact Rescaling is a number that float32 holds. Received: {name}={value}. "
        f"Use {near}, a power of two, or rescaling (QRescaling), which quantizes it."
    )
    model = model_of(scale, offset)
    (found,) = unsupported_layers(model)
    assert (found.stage, str(found)) == ("verify", f"scaled: {problem}")
    calibrate(model, IMAGES)
    with pytest.raises(ExactnessError) as caught:
        verify(model, IMAGES)
    assert str(caught.value) == f"scaled: {problem}"
