"""Quantizers to test, and what is asked of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_fixed_point import KBI, KIF

BOTH = pytest.mark.parametrize("kind", [KBI, KIF])
NAMES = {KBI: ("b", "i"), KIF: ("i", "f")}


def build(config, shape, role="weight", **slot):
    quantizer = config.build(Slot(role, "slot", "layer", **slot))
    quantizer.build(shape)
    return quantizer


def activation(config, *shape):
    return build(config, (None, *shape), "activation")


def array(values):
    return np.asarray(values, dtype=np.float32)


def tensor(values):
    return keras.ops.convert_to_tensor(array(values))


def run(quantizer, values, training=False):
    return numpy_of(quantizer.quantize(tensor(values), training))


def calibrate(quantizer, values):
    """What hgq2_core.calibrate does to one quantizer: pass over the data until nothing moves."""
    quantizer.range.reset()
    for _ in range(3):
        with calibrating():
            run(quantizer, values)


def number(variable):
    (value,) = numpy_of(variable).reshape(-1).tolist()
    return value
