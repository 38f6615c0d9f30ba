"""What the tests of the doctor share."""

from __future__ import annotations

import keras

from hgq2_layers import QDense

ONE = {"k": 1, "i": 2, "f": 0, "granularity": "tensor"}
"""A format with the steps of integers, from -4 to 3."""


def found(report, *checks):
    """The findings of some checks, in short."""
    return [(each.check.name, each.place, each.seen) for each in report.findings if each.check.name in checks]


def slots(report):
    return {(layer.name, slot.name): slot for layer in report.layers for slot in layer.slots}


def identity(**arguments):
    """One layer that hands its two inputs on."""
    model = keras.Sequential([keras.Input((2,)), QDense(2, name="same", kernel_initializer="identity", **arguments)])
    return model
