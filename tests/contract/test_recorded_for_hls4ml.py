"""Every layer of the contract, recorded as nodes of hls4ml: the integers' numbers, or a refusal that is known."""

from __future__ import annotations

import keras
import pytest
from layer_examples import EXAMPLES
from selection import nightly, slow

from hgq2_core import calibrate, freeze
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.vectors import vectors
from hgq2_core.testing.rules import samples
from hgq2_hls4ml.recording import record

pytestmark = pytest.mark.once

INPUT_FORMAT = (1, 3, 4)
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
    ("kind", "arguments", "shape"), [slow(*each) if n % 3 == 0 else nightly(*each) for n, each in enumerate(EACH)]
)
def test_the_nodes_give_what_the_integers_give(kind, arguments, shape):
    model, x = model_of(kind, arguments, shape)
    try:
        recording = record(model)
    except ExactnessError as error:
        if "outputs are constant" in str(error):
            return
        assert "before any quantizer" in str(error)  # an operation on inputs as they are
        recording = record(model, INPUT_FORMAT)
        x = None
    assert vectors(model, recording.input_ports, x).mismatches(recording.interpret) == 0
