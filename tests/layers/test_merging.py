"""Layers that merge inputs, or the elements of one: forward, cost, constructor; docs/numerics.md#7."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of, values

from hgq2_core import ConfigError, calibrate, defaults, ebops, freeze, verify
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QAdd,
    QAveragePow2,
    QConcatenate,
    QDense,
    QDot,
    QEinsum,
    QMaximum,
    QMeanPow2,
    QMinimum,
    QMultiply,
    QSubtract,
    QSum,
)

PAIR = [(2, 3), (3,)]
THREE = [(2, 3), (3,), (1, 3)]


def data(shapes, samples=64):
    if isinstance(shapes, tuple):
        return values(samples, *shapes)
    return [values(samples, *shape, seed=number) for number, shape in enumerate(shapes)]


def applied(layer, shapes):
    """A model of the layer alone."""
    inputs = keras.Input(shapes) if isinstance(shapes, tuple) else [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, layer(inputs))


def scatter(layer, seed=0):
    """Return bits uneven values."""
    rng = np.random.default_rng(seed)
    for quantizer in layer.quantizers:
        for variable in quantizer.variables:
            if variable.name in ("b", "i", "f"):
                variable.assign(rng.integers(0, 5, size=tuple(variable.shape)).astype(np.float32))


BILINEAR = [(2,), (2, 3), (3,)]


def einsum(equation):
    return lambda a, b: np.einsum(equation, a, b)


TWINS = [
    (QAdd(input_quantizer="none"), keras.layers.Add(), THREE),
    (QSubtract(input_quantizer="none"), keras.layers.Subtract(), PAIR),
    (QMultiply(input_quantizer="none"), keras.layers.Multiply(), THREE),
    (QMaximum(input_quantizer="none"), keras.layers.Maximum(), THREE),
    (QMinimum(input_quantizer="none"), keras.layers.Minimum(), THREE),
    (QAveragePow2(input_quantizer="none"), keras.layers.Average(), [(2, 3), (3,), (1, 3), (3,)]),
    (QConcatenate(input_quantizer="none"), keras.layers.Concatenate(), [(2, 3), (2, 1), (2, 2)]),
    (QConcatenate(1, input_quantizer="none"), keras.layers.Concatenate(1), [(2, 3), (1, 3)]),
    (QDot(-1, input_quantizer="none"), keras.layers.Dot(-1), [(3,), (3,)]),
    (QDot(1, input_quantizer="none"), keras.layers.Dot(1), [(3, 2), (3,)]),
    (QDot((1, 2), input_quantizer="none"), keras.layers.Dot((1, 2)), [(3, 5), (10, 3)]),
    (QDot((3, 1), input_quantizer="none"), keras.layers.Dot((3, 1)), [(2, 2, 3), (3, 2)]),
]


@pytest.mark.parametrize(("layer", "twin", "shapes"), TWINS, ids=lambda item: getattr(item, "name", ""))
def test_without_quantizers_it_is_its_keras_twin(layer, twin, shapes):
    inputs = data(shapes)
    wanted, got = applied(twin, shapes), applied(layer, shapes)
    assert np.allclose(float64_of(got(inputs)), float64_of(wanted(inputs)), rtol=1e-6, atol=1e-6)
    assert got.output_shape == wanted.output_shape


@pytest.mark.parametrize(
    ("layer", "shapes", "function"),
    [
        (QEinsum("bqd,bkd->bqk", input_quantizer="none"), [(2, 3), (4, 3)], einsum("bqd,bkd->bqk")),
        (QEinsum("bi,bij,bj->bij", input_quantizer="none"), BILINEAR, lambda *x: np.einsum("bi,bij,bj->bij", *x)),
        (QEinsum("...d,...d->...", input_quantizer="none"), [(2, 3), (2, 3)], einsum("bqd,bqd->bq")),
        (QEinsum("a...,ac->ac...", input_quantizer="none"), [(2, 3), (4,)], einsum("axy,ac->acxy")),
        (QAveragePow2(input_quantizer="none"), THREE, lambda a, b, c: (a + b[:, None] + c) / 4),
        (QSum(input_quantizer="none"), (2, 3), lambda x: x.sum(-1)),
        (QSum(scale=0.25, input_quantizer="none"), (2, 3), lambda x: x.sum(-1) / 4),
        (QSum((1, -1), keepdims=True, input_quantizer="none"), (2, 3), lambda x: x.sum((1, 2), keepdims=True)),
        (QMeanPow2(1, input_quantizer="none"), (4, 3), lambda x: x.mean(1)),
        (QMeanPow2(input_quantizer="none"), (2, 3), lambda x: x.sum(-1) / 4),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
def test_without_quantizers_it_is_the_formula(layer, shapes, function):
    inputs = data(shapes)
    wanted = function(*inputs) if isinstance(inputs, list) else function(inputs)
    model = applied(layer, shapes)
    got = float64_of(model(inputs))
    assert np.allclose(got, wanted, rtol=1e-6, atol=1e-6)
    assert got.shape[1:] == model.output_shape[1:]


def spared(bits):
    return sum(each.sum() for each in bits) - np.minimum.reduce(bits).sum()


COSTS = [
    (QAdd, {}, THREE, lambda *bits: 0.65 * spared(bits)),
    (QAveragePow2, {}, THREE, lambda *bits: 0.65 * spared(bits)),
    (QMaximum, {}, THREE, lambda *bits: spared(bits)),
    (QMinimum, {}, THREE, lambda *bits: spared(bits)),
    (QSubtract, {}, PAIR, lambda a, b: np.maximum(a, b).sum()),
    (QMultiply, {}, PAIR, lambda a, b: (a * b).sum()),
    (QMultiply, {}, THREE, lambda a, b, c: (a * b * c).sum()),
    (QConcatenate, {}, [(2, 3), (2, 1)], lambda *bits: 0.0),
    (QDot, {"axes": (2, 1)}, [(2, 3), (3,)], lambda a, b: np.einsum("ij,j->", a, b)),
    (QEinsum, {"equation": "bqd,bkd->bqk"}, [(2, 3), (4, 3)], lambda a, b: np.einsum("qd,kd->", a, b)),
    (QEinsum, {"equation": "bi,bij,bj->bj"}, BILINEAR, lambda a, m, b: np.einsum("i,ij,j->", a, m, b)),
    (QSum, {"axes": 2}, (4, 3), lambda x: 0.65 * (x.sum() - x.min(-1).sum())),
    (QMeanPow2, {"axes": (1, 2)}, (4, 3), lambda x: 0.65 * (x.sum() - x.min())),
]


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize(("cls", "arguments", "shapes", "formula"), COSTS)
def test_ebops(independent, cls, arguments, shapes, formula, granularity):
    layer = cls(**arguments, input_quantizer=KIF(overflow_mode="SAT", granularity=granularity))
    applied(layer, shapes)
    scatter(layer)
    shapes = [shapes] if isinstance(shapes, tuple) else shapes
    quantizers = getattr(layer, "input_quantizers", None) or [layer.input_quantizer]
    bits = [independent.counted(each, shape) for each, shape in zip(quantizers, shapes, strict=True)]
    if len({len(shape) for shape in shapes}) > 1 and cls not in (QDot, QEinsum):
        bits = [np.broadcast_to(each, (2, 3)) for each in bits]
    wanted = formula(*bits)
    assert wanted > 0 or cls is QConcatenate
    assert np.isclose(ebops(layer), wanted, rtol=1e-6)


def test_each_input_has_bits_of_its_own():
    layer = QAdd(input_quantizer=KIF(i=3, f=2, overflow_mode="SAT", granularity="tensor"))
    applied(layer, THREE)
    assert [quantizer.slot.name for quantizer in layer.input_quantizers] == ["input", "input_1", "input_2"]
    layer.input_quantizers[1].f.assign([[0.0]])
    inputs = [np.full((1, *shape), 0.25, "float32") for shape in THREE]
    assert float64_of(layer(inputs))[0, 0, 0] == 0.25 + 0.0 + 0.25


def test_each_input_may_have_a_config_of_its_own(tmp_path):
    layer = QMultiply(input_quantizer=[KIF(i=3, f=2, overflow_mode="SAT"), None, {"kind": "kbi", "b": 2}])
    model = applied(layer, THREE)
    assert [type(quantizer.config) for quantizer in layer.input_quantizers] == [KIF, KIF, KBI]
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert [each.config for each in back.input_quantizers] == [each.config for each in layer.input_quantizers]
    model.compile("sgd", "mse")
    model.fit(data(THREE), np.zeros((64, *model.output_shape[1:])), verbose=0)
    calibrate(model, data(THREE))
    assert verify(model, data(THREE)).ok


def test_one_config_for_each_input_or_one_for_all():
    with pytest.raises(ConfigError, match=r"^m: input_quantizer lists one for each .* Received: 2 quantizers for 3 in"):
        applied(QMultiply(input_quantizer=["kif", "kbi"], name="m"), THREE)
    with pytest.raises(ConfigError, match=r"^QMultiply: input_quantizer\.1: .*'kic'.*Did you mean 'kif'"):
        QMultiply(input_quantizer=["kif", "kic"])
    with pytest.raises(ConfigError, match=r"^QMultiply: input_quantizer: must be a quantizer or a list .* \[\]\.$"):
        QMultiply(input_quantizer=[])


def test_a_scope_switches_the_inputs_that_a_list_leaves_unset():
    with defaults(input_quantizers=False):
        layer = QMultiply(input_quantizer=[None, KIF(f=1)])
    unset, given = (each.config for each in layer.input_quantizers)
    assert unset == NoQuantizer()
    assert given.f == 1.0


def test_the_scope_at_the_constructor_decides_for_all_inputs():
    with defaults(activation=KBI(b=3)):
        layer = QMaximum()
    applied(layer, THREE)
    assert [quantizer.config.b for quantizer in layer.input_quantizers] == [3.0] * 3


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [(QAdd(), THREE), (QMultiply(), PAIR), (QMaximum(), PAIR), (QDot(-1), [(3,), (3,)]), (QSum(), (2, 3))],
    ids=lambda item: getattr(item, "name", ""),
)
def test_training_moves_the_bits_of_every_input(layer, shapes):
    model = applied(layer, shapes)
    model.compile(keras.optimizers.SGD(0.5), "mse")
    before = [float64_of(variable) for variable in layer.trainable_variables]
    model.fit(data(shapes), np.zeros((64, *model.output_shape[1:])), epochs=2, verbose=0)
    assert len(before) == (len(shapes) if isinstance(shapes, list) else 1)
    assert all((a != float64_of(b)).any() for a, b in zip(before, layer.trainable_variables, strict=True))


def test_a_frozen_model_is_saved_and_loaded_bit_for_bit(tmp_path):
    a, b = keras.Input((4,)), keras.Input((4,))
    x = QDense(4)(a)
    model = keras.Model([a, b], QMaximum()([QAdd()([a, x, b]), QMultiply(output_quantizer="kif")([x, b])]))
    inputs = data([(4,), (4,)], samples=200)
    calibrate(model, inputs)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    wanted = model.predict(inputs, verbose=0)
    assert np.array_equal(frozen.predict(inputs, verbose=0), wanted)
    assert np.array_equal(again.predict(inputs, verbose=0), wanted)
    assert verify(again, inputs).ok


@pytest.mark.parametrize(
    ("ours", "twin"), [(QAdd(), keras.layers.Add()), (QConcatenate(1), keras.layers.Concatenate(1))]
)
def test_masks_are_merged_as_keras_does(ours, twin):
    inputs = [keras.ops.ones((1, 3, 2))] * 2
    first, second = (keras.ops.convert_to_tensor([mask]) for mask in ([False, True, True], [False, False, True]))
    for masks in [first, second], [first, None], [None, None]:
        got, wanted = ours.compute_mask(inputs, masks), twin.compute_mask(inputs, masks)
        assert (got is None) == (wanted is None)
        assert wanted is None or np.array_equal(float64_of(got), float64_of(wanted))


def test_a_mask_ends_where_its_axis_is_summed_over():
    mask = keras.ops.convert_to_tensor([[False, True, True]])
    for layer, passes in (QSum(), True), (QSum(1), False), (QSum((1, 2), keepdims=True), False):
        layer.build((None, 3, 2))
        assert layer.compute_mask(None, mask) is (mask if passes else None)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (QAdd(name="a"), (2, 3), "a: merges a list of two or more inputs. Received: shape (None, 2, 3)."),
        (QAdd(name="a"), [(3,)], "a: merges a list of two or more inputs. Received: shape ((None, 3),)."),
        (
            QSubtract(name="s"),
            THREE,
            "s: merges a list of two inputs. Received: shape ((None, 2, 3), (None, 3), (None, 1, 3)).",
        ),
        (
            QMaximum(name="m"),
            [(3,), (2,)],
            "m: inputs broadcast against each other. Received: shapes (None, 3), (None, 2).",
        ),
        (
            QConcatenate(name="c"),
            [(2, 3), (3, 3)],
            "c: inputs have one shape but along axis -1. Received: shapes (None, 2, 3), (None, 3, 3).",
        ),
        (
            QConcatenate(0, name="c"),
            [(3,), (3,)],
            "c: inputs are joined along one of their axes, and not the batch. "
            "Received: axis=0 for shapes (None, 3), (None, 3).",
        ),
        (
            QDot(0, name="d"),
            [(3,), (3,)],
            "d: axes name an axis of each input, and not the batch. Received: axes=0 for inputs of rank 2 and 2.",
        ),
        (
            QDot((1, 2), name="d"),
            [(3, 2), (2, 4)],
            "d: an axis that inputs share has sizes 3 and 4. Received: shapes (None, 3, 2) and (None, 2, 4).",
        ),
        (
            QDot(1, name="d"),
            [(None, 2), (None, 2)],
            "d: an axis that is summed over needs a static size. Received: shapes (None, None, 2) and (None, None, 2).",
        ),
        (
            QEinsum("abc,acd->abd", name="e"),
            [(3,), (3, 2)],
            "e: equation 'abc,acd->abd' does not fit inputs of rank 2 and 3, batch included.",
        ),
        (
            QEinsum("ab,ac->cab", name="e"),
            [(3,), (2,)],
            "e: the first axis of each input and of the output is the batch. "
            "Received: equation='ab,ac->cab' for inputs of rank 2 and 2.",
        ),
        (
            QSum(0, name="s"),
            (3,),
            "s: axes name axes of the input, each once, and not the batch. Received: axes=0 for shape (None, 3).",
        ),
        (
            QSum((1, -1), name="s"),
            (3,),
            "s: axes name axes of the input, each once, and not the batch. Received: axes=(1, -1) for shape (None, 3).",
        ),
    ],
    ids=lambda item: "" if isinstance(item, str) else getattr(item, "name", ""),
)
def test_shapes_that_do_not_go_together(layer, shapes, message):
    with pytest.raises(ConfigError) as caught:
        applied(layer, shapes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QDot(1, normalize=True),
            "QDot: normalize has no exact arithmetic. Received: normalize=True. Allowed: False.",
        ),
        (
            lambda: QEinsum("abc,acd"),
            "equation must look like `abc,acd->abd` or `...b,...b->...`. Received: equation='abc,acd'",
        ),
        (
            lambda: QEinsum("abb,acb->ac"),
            "equation: 'abb' repeats a letter. Received: equation='abb,acb->ac'",
        ),
        (
            lambda: QEinsum("ab,ab->ac"),
            "equation: output ['c'] are in no input. Received: equation='ab,ab->ac'",
        ),
        (
            lambda: QEinsum("abc,ab->ab"),
            "equation: ['c'] of one input are in neither another nor the output; sum over them first. "
            "Received: equation='abc,ab->ab'",
        ),
        (
            lambda: QEinsum("...b,...b->b"),
            "equation: `...` stands in the output and in an input, or nowhere. Received: equation='...b,...b->b'",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == message


def test_another_number_of_inputs_is_refused_later_on():
    layer = QAdd()
    applied(layer, PAIR)
    with pytest.raises(ValueError, match="expects 2 input"):
        layer(data(THREE))


@pytest.mark.once
def test_a_sum_is_scaled_by_a_power_of_two():
    with pytest.raises(ConfigError) as caught:
        QSum(scale=0.3)
    assert str(caught.value) == "QSum: scale is a power of two. Received: scale=0.3."
