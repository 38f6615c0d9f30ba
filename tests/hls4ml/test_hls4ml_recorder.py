"""The recorder: what becomes a node, of which bounds, and what is only moved or known."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.formats import formats
from hgq2_core.exporting.inputs import HostInputs
from hgq2_hls4ml.arrays import Recorder
from hgq2_hls4ml.biases import biased_products
from hgq2_hls4ml.nodes import Elementwise, Input, Node, Product, Quantized, Table, Wires
from hgq2_hls4ml.recording import record


@pytest.fixture
def recorder():
    return Recorder(HostInputs([keras.KerasTensor((None, 2, 3), name="x")]))


@pytest.fixture
def x(recorder):
    """Six numbers of the format k=1, i=1, f=2."""
    return recorder.quantize(recorder.raw()[0], 1, 1, 2, "RND", "SAT")


def nodes(recorder):
    return [type(entry.node) for entry in recorder.record.entries if isinstance(entry.node, Node)]


def test_the_first_quantizer_is_an_input(recorder, x):
    assert [type(entry.node) for entry in recorder.record.entries] == [Input]
    recorder.quantize(x, 1, 1, 1, "RND", "SAT")
    assert nodes(recorder) == [Quantized]


def test_moving_numbers_takes_no_node(recorder, x):
    y = recorder.transpose(x, (0, 2, 1))
    y = recorder.pad(recorder.concatenate([y, y], 1), [(0, 0), (1, 0), (0, 0)])
    y = recorder.broadcast(recorder.gather(recorder.reshape(y, (1, 14)), [3, 0], 1), (4, 2))
    assert recorder.shape(y) == (4, 2)
    assert nodes(recorder) == []
    assert y.numbers[0].tolist()[0] == x.numbers[0, 1, 0]


def test_constants_are_computed_at_once(recorder):
    two = recorder.add(recorder.constant(1.5), recorder.constant([0.5, 0.25]))
    squares = recorder.einsum("i,ij->j", two, recorder.constant(np.eye(2)))
    assert nodes(recorder) == []
    assert recorder.record.values(squares.numbers).data.tolist() == [[8, 7]]


def test_what_is_always_the_same_is_a_constant(recorder, x):
    zero = recorder.multiply(x, recorder.constant(0.0))
    assert recorder.record.constant(zero.numbers.ravel())


def test_a_choice_by_constants_takes_no_node(recorder, x):
    kept = recorder.select(recorder.constant([1.0, 0.0, 1.0]), x, recorder.constant(0.0))
    assert nodes(recorder) == []
    assert (kept.numbers == x.numbers).any(axis=(0, 1)).tolist() == [True, False, True]


def test_types_are_those_of_the_bounds(recorder, x):
    total = recorder.sum(x, (1, 2))
    bounds = formats(recorder.record.bounds(total.numbers.ravel()))
    assert nodes(recorder)[-1] is Product
    assert bounds.joint() == (1, 4, 2)  # from 6 * -2 to 6 * 1.75


@pytest.mark.parametrize(
    ("low", "high", "f", "wanted"),
    [
        (0, 0, 3, (0, 0, 0)),
        (0, 0.75, 2, (0, 0, 2)),
        (-1, 0, 0, (1, 0, 0)),
        (-1, 1, 0, (1, 1, 0)),
        (-8, 7, 0, (1, 3, 0)),
        (-8, 8, 0, (1, 4, 0)),
        (0, 12, -2, (0, 4, -2)),
        (-0.25, 0.125, 3, (1, -2, 3)),
    ],
)
def test_a_format_is_the_smallest_that_holds_the_bounds(low, high, f, wanted):
    from hgq2_core.exact import Intervals

    assert formats(Intervals().between([[low]], [[high]], f)).joint() == wanted


def test_a_product_reads_all_numbers_of_one_node_in_order(recorder, x):
    flat = recorder.reshape(x, (1, 6))
    recorder.einsum("bi,io->bo", flat, recorder.constant(np.ones((6, 2))))
    assert nodes(recorder) == [Wires, Product]  # an input has a layer of its own
    left = recorder.record.entries[-1].node.operands[0]
    assert left.tolist() == recorder.record.entries[-2].numbers.tolist()


def test_an_einsum_without_a_sum_is_elementwise(recorder, x):
    recorder.einsum("bij,j->bij", x, recorder.constant([1.0, 2.0, 3.0]))
    assert nodes(recorder) == [Elementwise]


def test_the_cheapest_statement_leaves_no_other(recorder, x):
    def dear(a):
        return recorder.add(recorder.multiply(a, a), a)

    recorder.cheapest(x, dear, lambda a: recorder.table(a, lambda values: values**2 + values))
    assert nodes(recorder) == [Table]


def test_a_large_table_is_refused(recorder):
    wide = recorder.quantize(recorder.raw()[0], 1, 8, 8, "RND", "SAT")
    with pytest.raises(Unsupported, match=r"^a table of more than 16 bits of input\. Received: 17 bits\.$"):
        recorder.table(wide, np.abs)


def test_a_bias_belongs_to_its_product(dense):
    from hgq2_core import freeze

    recording = record(freeze(dense))
    products = [entry for entry in recording.nodes if isinstance(entry.node, Product)]
    biased = biased_products(recording)
    assert [product.name for product, _ in biased.values()] == [entry.name for entry in products]


def test_layers_are_named_after_their_layers(dense):
    from hgq2_core import freeze

    names = [entry.name.rpartition("_")[0] for entry in record(freeze(dense)).nodes if isinstance(entry.node, Node)]
    assert list(dict.fromkeys(names)) == ["hidden", "logits", "logits_out"]
