"""Every operation of exact statements in gates: the same numbers as integers, with ==."""

from __future__ import annotations

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from alkaid.trace import HWConfig, trace
from hypothesis import given, settings
from hypothesis import strategies as st

from hgq2_alkaid.arrays import HardwareArrays, input_variable
from hgq2_alkaid.rounding import OFFSETS, OVERFLOWS
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.inputs import Entry, Format, HostInputs, RawNumber

HWCONF = HWConfig(1, 1, -1)
FORMATS = [(1, 2, 3), (0, 3, 2), (1, -1, 4), (1, 4, -1), (0, 0, 1), (1, 0, 0)]
KERNEL = np.random.default_rng(0).integers(-7, 8, size=(3, 4)) / 4


def variable(k, i, f):
    return input_variable(Entry(RawNumber("x", 0, 0), Format(k, i, f, "TRN", "WRAP")), HWCONF)


def values(formats, samples=200):
    """All of each format's numbers where they are few, else some, the ends among them."""
    columns = []
    for place, wanted in enumerate(formats):
        low, high = Format(*wanted, "TRN", "WRAP").bounds
        steps = np.random.default_rng(place).integers(0, round((high - low) * 2.0 ** wanted[2]) + 1, size=samples)
        columns.append(np.concatenate([[low, high], low + steps * 2.0 ** -wanted[2]]))
    return np.stack(columns, axis=1)


def compare(statement, formats):
    """A statement about one row of numbers, traced and interpreted, against integers."""
    arrays = HardwareArrays(HWCONF)
    elements = [variable(*each) for each in formats]
    row = np.empty((1, len(elements)), dtype=object)
    row[0, :] = elements
    x = values(formats)
    logic = trace(elements, list(arrays.variables(statement(arrays, row)).ravel()))
    got = logic.predict(np.ascontiguousarray(x))
    assert np.array_equal(got, to_float(statement(Integers(), from_float(x))).reshape(len(x), -1))


STATEMENTS = {
    "add": lambda a, x: a.add(x, a.gather(x, [1, 2, 0], 1)),
    "add a constant": lambda a, x: a.add(x, a.constant([0.0, -1.25, 3.0])),
    "subtract": lambda a, x: a.subtract(x, a.gather(x, [1, 2, 0], 1)),
    "subtract itself": lambda a, x: a.subtract(x, x),
    "negate": lambda a, x: a.negate(x),
    "multiply": lambda a, x: a.multiply(x, a.gather(x, [1, 2, 0], 1)),
    "square": lambda a, x: a.multiply(x, x),
    "multiply by constants": lambda a, x: a.multiply(x, a.constant([0.0, -2.75, 0.125])),
    "cheapest": lambda a, x: a.cheapest(x, lambda y: a.add(y, y), lambda y: a.table(y, lambda v: 2 * v)),
    "shift": lambda a, x: a.shift(x, np.array([3, -2, 0])),
    "sum": lambda a, x: a.sum(x, axis=1, keepdims=True),
    "sum of constants too": lambda a, x: a.sum(a.pad(x, [(0, 0), (1, 1)]), axis=1),
    "maximum": lambda a, x: a.maximum(x, a.gather(x, [1, 2, 0], 1)),
    "maximum with constants": lambda a, x: a.maximum(x, a.constant([0.0, 0.75, -100.0])),
    "minimum": lambda a, x: a.minimum(x, a.gather(x, [1, 2, 0], 1)),
    "minimum with constants": lambda a, x: a.minimum(x, a.constant([0.0, 0.75, -0.3125])),
    "less": lambda a, x: a.less(x, a.gather(x, [1, 2, 0], 1)),
    "less than constants": lambda a, x: a.less(x, a.constant(np.float32([0.0, 0.3, 100.0]))),
    "constants less": lambda a, x: a.less(a.constant(np.float32([0.0, 0.3, -100.0])), x),
    "select": lambda a, x: a.select(a.less(x, a.constant(0.25)), a.gather(x, [2, 0, 1], 1), a.negate(x)),
    "select constants": lambda a, x: a.select(a.less(x, a.constant(0.25)), a.constant([0.0, -1.0, 2.0]), x),
    "select by a constant": lambda a, x: a.select(a.constant([0.0, 1.0, 0.0]), x, a.negate(x)),
    "table": lambda a, x: a.table(x, lambda v: np.floor(v * v * 4) / 8),
    "table of one value": lambda a, x: a.table(x, lambda v: v * 0 + 0.5),
    "table of a negated value": lambda a, x: a.table(a.negate(x), lambda v: np.where(v < 0, v, v * 3)),
    "einsum with a kernel": lambda a, x: a.einsum("...i,io->...o", x, a.constant(KERNEL)),
    "einsum from the right": lambda a, x: a.einsum("io,bi->bo", a.constant(KERNEL), x),
    "einsum by zero": lambda a, x: a.einsum("bi,io->bo", x, a.constant(np.zeros((3, 2)))),
    "einsum of data": lambda a, x: a.einsum("bi,bj->bij", x, x),
    "einsum of constants beside data": lambda a, x: a.einsum("bi,io->bo", a.pad(x, [(0, 0), (1, 1)]), a.constant(
        np.concatenate([[[1.0, 2.0, 0.5, 0.0]], KERNEL, [[3.0, 0.0, 0.0, 1.0]]]))),
    "einsum that meets only constants": lambda a, x: a.add(a.sum(x, 1, keepdims=True), a.einsum(
        "bi,io->bo", a.pad(x, [(0, 0), (1, 0)]), a.constant([[2.0], [0.0], [0.0], [0.0]]))),
    "einsum over shared axes": lambda a, x: a.einsum(
        "bij,bjk->bik", a.reshape(x, (a.shape(x)[0], 1, 3)), a.reshape(x, (a.shape(x)[0], 3, 1))),
    "einsum in place": lambda a, x: a.einsum("bi,i->bi", x, a.constant(KERNEL[:, 0])),
    "einsum of constants": lambda a, x: a.add(a.einsum("i,io->o", a.constant([1.0, 2.0, 3.0]), a.constant(KERNEL)),
                                             a.sum(x, 1, keepdims=True)),
    "moves": lambda a, x: a.transpose(a.reshape(a.concatenate([x, a.negate(x)], 1), (-1, 2, 3)), (0, 2, 1)),
    "broadcast": lambda a, x: a.broadcast(a.reshape(x, (a.shape(x)[0], 1, 3)), (a.shape(x)[0], 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("shape", [0, 1, 3])
@pytest.mark.parametrize("name", STATEMENTS)
def test_operation(name, shape):
    compare(STATEMENTS[name], [FORMATS[(shape + n) % len(FORMATS)] for n in range(3)])


@settings(max_examples=60)
@given(
    source=st.sampled_from(FORMATS),
    k=st.integers(0, 1),
    i=st.integers(-3, 5),
    f=st.integers(-3, 6),
    round_mode=st.sampled_from([*OFFSETS, "RND_CONV"]),
    overflow_mode=st.sampled_from(list(OVERFLOWS)),
)
def test_quantize(source, k, i, f, round_mode, overflow_mode):
    compare(lambda a, x: a.quantize(x, k, i, f, round_mode, overflow_mode), [source])
    compare(lambda a, x: a.quantize(a.negate(x), k, i, f, round_mode, overflow_mode), [source])
    # Alkaid carries a factor and an offset along: the bits below the step are then not those of a plain number.
    compare(lambda a, x: a.quantize(moved(a, x), k, i, f, round_mode, overflow_mode), [source])


def moved(arrays, x):
    return arrays.add(arrays.shift(x, 2), arrays.constant(0.796875))


@pytest.mark.parametrize("round_mode", [*OFFSETS, "RND_CONV"])
def test_quantize_to_steps_so_coarse_that_all_values_round_alike(round_mode):
    moved_far = lambda a, x: a.add(a.shift(x, -6), a.constant(-3.5))  # noqa: E731
    compare(lambda a, x: a.quantize(moved_far(a, x), 0, 3, -2, round_mode, "SAT"), [(1, 2, 3)])


@pytest.mark.parametrize("round_mode", [*OFFSETS, "RND_CONV"])
def test_quantize_after_a_factor_and_an_offset(round_mode):
    compare(lambda a, x: a.quantize(moved(a, x), 1, 6, 4, round_mode, "SAT_ZERO"), [(0, 4, 4)])


@pytest.mark.parametrize("round_mode", [*OFFSETS, "RND_CONV"])
@pytest.mark.parametrize("overflow_mode", OVERFLOWS)
@pytest.mark.parametrize("k", [0, 1])
def test_constants_are_quantized_too(k, overflow_mode, round_mode):
    def statement(a, x):
        constants = a.quantize(a.constant([1.75, -0.25, -5.5, 0.125]), k, 1, 1, round_mode, overflow_mode)
        return a.add(x, a.add(constants, a.table(constants, np.square)))

    compare(statement, [(1, 2, 3)])


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (lambda a, x: a.quantize(x, 1, 1, 1, "RND", "WRAP_SM"), "overflow_mode='WRAP_SM' has no circuit"),
        (lambda a, x: a.add(x, a.constant(1 + 2.0**-31)), "a constant needs more than 31 bits"),
        (lambda a, x: a.einsum("bi,i->b", x, a.constant([1 + 2.0**-30])), "more bits than float32 has"),
        (lambda a, x: a.table(x, lambda v: v + 2.0**-30), "more than 24 bits"),
        (lambda a, x: a.quantize(x, 1, 0, 128, "RND", "SAT"), "values in steps of 2\\^-128. Alkaid's smallest step is"),
        (lambda a, x: a.table(a.shift(a.multiply(x, x), 4), np.abs), "a table of more than 16 bits of input"),
    ],
)  # fmt: skip
def test_what_has_no_circuit_is_refused(statement, message):
    with pytest.raises(Unsupported, match=message):
        compare(statement, [(1, 5, 5)])


def test_an_input_moves_freely_before_it_is_quantized():
    inputs = HostInputs([keras.KerasTensor((None, 1), name="x")])
    arrays = HardwareArrays(HWCONF, inputs)
    row = arrays.pad(inputs.raw()[0], [(0, 0), (0, 1)])
    moved = arrays.reshape(arrays.concatenate([row, row], 1), (2, 2))
    quantized = arrays.quantize(moved, 1, 2, 3, "RND", "SAT_SYM")
    assert quantized[0, 0] is quantized[1, 0]
    assert [entry.format for entry in inputs.entries()] == [Format(1, 2, 3, "RND", "SAT_SYM")]
    assert (quantized[0, 0].low, quantized[0, 0].high) == (-4.0, 3.875)


def test_of_several_statements_the_one_of_least_cost_becomes_gates():
    arrays = HardwareArrays(HWCONF)
    x = np.array([variable(1, 2, 3)], dtype=object)

    def square(y):
        return arrays.multiply(y, y)

    def refused(y):
        raise Unsupported("no circuit")

    def shifted(y):
        return arrays.shift(y, 1)

    for statements in ((square, shifted, refused), (refused, shifted, square)):
        (result,) = arrays.cheapest(x, *statements)
        assert (result.low, result.high) == (-8.0, 7.75)


@pytest.mark.parametrize("extreme", ["maximum", "minimum"])
def test_extremes_of_numbers_whose_difference_has_no_sign(extreme):
    """Where terms cancel, alkaid knows the difference to be positive, and `max_of` takes its highest bit for a sign."""

    def statement(arrays, x):
        first, second = arrays.gather(x, [0], 1), arrays.gather(x, [1], 1)
        return getattr(arrays, extreme)(arrays.add(first, second), first)

    compare(statement, [(1, 2, 3), (0, 3, 2)])
