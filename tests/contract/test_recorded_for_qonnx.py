"""Every layer of the contract, recorded as a graph of QONNX: the integers' numbers, or a refusal that is known."""

from __future__ import annotations

import keras
import pytest
from layer_examples import EXAMPLES
from selection import nightly, slow

from hgq2_core import calibrate, freeze
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ExactnessError
from hgq2_core.testing.rules import samples
from hgq2_qonnx.exporter import vectors_of
from hgq2_qonnx.recording import record

pytestmark = pytest.mark.once

INPUT_FORMAT = (1, 3, 4)
TOO_WIDE = ("layers.layer_normalization", "layers.rms_normalization", "layers.group_normalization")
"""Layers with an example that multiplies by the reciprocal of a size, to more than the 24 bits of float32."""

EACH = [(kind, *example) for kind, examples in EXAMPLES.items() for example in examples]


def model_of(kind, arguments, shape):
    keras.utils.set_random_seed(1)
    layer = registry().load("layers", kind)(**arguments)
    shapes = shape if isinstance(shape, list) else [shape]
    inputs = [keras.Input(each) for each in shapes]
    model = keras.Model(inputs, layer(inputs if isinstance(shape, list) else inputs[0]))
    values = [samples(100, *each) for each in shapes]
    calibrate(model, values if len(values) > 1 else values[0])
    return freeze(model), values if len(values) > 1 else values[0]


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"), [slow(*each) if n % 3 == 1 else nightly(*each) for n, each in enumerate(EACH)]
)
def test_the_graph_gives_what_the_integers_give(kind, arguments, shape):
    model, x = model_of(kind, arguments, shape)
    input_format = None
    try:
        recording = record(model, allow_plain=True)
    except ExactnessError as error:
        if "outputs are constant" in str(error):
            return
        if kind in TOO_WIDE and "a sum or product needs" in str(error):
            return
        assert "before any quantizer" in str(error)  # an operation on inputs as they are
        input_format, x = INPUT_FORMAT, None
        recording = record(model, input_format, allow_plain=True)
    assert vectors_of(model, recording, x, input_format).mismatches(recording.interpret) == 0
