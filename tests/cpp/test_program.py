"""Every operation of exact statements as instructions on rows: the same numbers as integers, with ==."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

pytest.importorskip("hgq2_cpp", reason="hgq2-cpp is not installed: make install")

from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.inputs import HostInputs
from hgq2_core.exporting.ports import ports_of
from hgq2_cpp.arrays import CppArrays
from hgq2_cpp.model import Emulator, _formats, _output
from hgq2_cpp.program import optimized

FORMATS = np.array([(1, 2, 3), (0, 3, 2), (1, -1, 4), (1, 4, -1), (1, 12, 8), (1, 20, 12)])
KERNEL = np.random.default_rng(0).integers(-7, 8, size=(6, 4)) / 4
ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO", "WRAP_SM")
NEXT = [1, 2, 3, 4, 5, 0]
FIVE = [0, 1, 2, 3, 4, 4]


def entered(arrays, x):
    return arrays.quantize(x, *FORMATS.T, "RND", "WRAP")


def emulator_of(statement):
    """A statement about one row of six numbers, as a program."""
    inputs = HostInputs([keras.KerasTensor((None, 6), name="x")])
    arrays = CppArrays(inputs)
    output = arrays.entered(statement(arrays, entered(arrays, arrays.starts()[0])))
    formats = _formats(output)
    program = optimized(arrays.recorder.program([_output(output, formats[2])]))
    outputs = ports_of([("y", output.shape[1:], "float32")], zip(*(each.tolist() for each in formats), strict=True))
    return Emulator(program, tuple(inputs.entries()), inputs.ports(), outputs, ())


def values():
    """The ends of each format, and random numbers of it."""
    rng = np.random.default_rng(3)
    columns = []
    for k, i, f in FORMATS:
        low, high = -k * 2 ** (i + f), 2 ** (i + f) - 1
        columns.append(np.ldexp(np.concatenate([[low, high, 0], rng.integers(low, high + 1, 397)]).astype(float), -f))
    return np.stack(columns, axis=1)


def wanted_of(statement, x):
    return to_float(statement(Integers(), from_float(x))).reshape(len(x), -1)


def quantizing(round_mode, overflow_mode):
    """Fewer and more bits than the values have, on both sides, and none."""

    def statement(a, x):
        formats = [(1, 2, 1), (1, -1, 5), (1, 4, -2), (1, 0, 0), (0, 5, 3), (0, 0, 0)]
        if overflow_mode == "WRAP_SM":
            formats = [(1, *each[1:]) for each in formats]
        parts = [a.quantize(x, *each, round_mode, overflow_mode) for each in formats]
        return a.concatenate(parts, 1)

    return statement


STATEMENTS = {
    "add": lambda a, x: a.add(x, a.gather(x, NEXT, 1)),
    "add a constant": lambda a, x: a.add(x, a.constant([0.0, -1.25, 3.0, 2.0**-20, 0.0, 1.0])),
    "subtract": lambda a, x: a.subtract(x, a.gather(x, NEXT, 1)),
    "subtract itself": lambda a, x: a.concatenate([a.subtract(x, x), x], 1),
    "negate": lambda a, x: a.negate(x),
    "multiply": lambda a, x: a.multiply(x, a.gather(x, NEXT, 1)),
    "multiply by constants": lambda a, x: a.multiply(x, a.constant([0.0, -2.75, 0.125, 1.0, 3.0, -1.0])),
    "cheapest": lambda a, x: a.cheapest(x, lambda y: a.add(y, y), lambda y: a.shift(y, 1)),
    "shift": lambda a, x: a.add(a.shift(x, np.array([3, -2, 0, 5, -9, 1])), x),
    "sum": lambda a, x: a.sum(x, axis=1, keepdims=True),
    "sum of padded": lambda a, x: a.sum(a.reshape(a.pad(x, [(0, 0), (1, 1)]), (-1, 2, 4)), axis=1),
    "maximum": lambda a, x: a.maximum(x, a.gather(x, NEXT, 1)),
    "maximum with constants": lambda a, x: a.maximum(x, a.constant([0.0, 0.75, -100.0, 0.0, 0.0, 1e6])),
    "minimum": lambda a, x: a.minimum(x, a.gather(x, NEXT, 1)),
    "less": lambda a, x: a.less(x, a.gather(x, NEXT, 1)),
    "less than constants": lambda a, x: a.less(x, a.constant(np.float32([0.0, 0.3, 100.0, 0.0, 7.0, -1.0]))),
    "select": lambda a, x: a.select(a.less(x, a.constant(0.25)), a.gather(x, NEXT, 1), a.negate(x)),
    "select constants": lambda a, x: a.select(a.less(x, a.constant(0.25)), a.constant(-1.0), x),
    "select by a constant": lambda a, x: a.select(a.constant([0.0, 1.0, 0.0, 1.0, 1.0, 0.0]), x, a.negate(x)),
    "table": lambda a, x: a.table(a.gather(x, [0, 1, 2, 3], 1), lambda v: np.floor(v * v * 4) / 8),
    "table of wide entries": lambda a, x: a.table(a.gather(x, [0, 1], 1), lambda v: v * 2.0**40),
    "einsum with a kernel": lambda a, x: a.einsum("...i,io->...o", x, a.constant(KERNEL)),
    "einsum from the right": lambda a, x: a.einsum("io,bi->bo", a.constant(KERNEL), x),
    "einsum by zero": lambda a, x: a.add(a.einsum("bi,io->bo", x, a.constant(np.zeros((6, 6)))), x),
    "einsum of data": lambda a, x: a.einsum("bi,bj->bij", a.gather(x, FIVE, 1), a.gather(x, FIVE, 1)),
    "einsum of data, summed": lambda a, x: a.einsum(
        "bij,bjk->bik", a.reshape(a.gather(x, FIVE, 1), (-1, 2, 3)), a.reshape(a.gather(x, FIVE[::-1], 1), (-1, 3, 2))),
    "einsum with groups": lambda a, x: a.einsum(
        "bgi,gio->bgo", a.reshape(x, (-1, 2, 3)), a.constant(KERNEL.reshape(2, 3, 4))),
    "einsum of windows": lambda a, x: a.einsum(
        "bwi,io->bwo", a.gather(a.pad(x, [(0, 0), (1, 1)]), [[0, 1, 2], [2, 3, 4], [5, 6, 7]], 1),
        a.constant(KERNEL[:3])),
    "ends that no int32 holds": lambda a, x: a.quantize(a.gather(x, [0, 4], 1), 0, 40, 8, "RND", "SAT"),
    "transpose": lambda a, x: a.transpose(a.reshape(x, (-1, 2, 3)), (0, 2, 1)),
}  # fmt: skip
MODES = {
    f"{rounding} {overflow}": quantizing(rounding, overflow)
    for rounding, overflow in itertools.product(ROUNDINGS, OVERFLOWS)
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_program_gives_what_the_integers_give(name):
    x = values()
    assert np.array_equal(emulator_of(STATEMENTS[name]).interpret(x), wanted_of(STATEMENTS[name], x))


def test_every_rounding_and_overflow_is_that_of_the_integers():
    x = values()
    wrong = [
        name
        for name, statement in MODES.items()
        if not np.array_equal(emulator_of(statement).interpret(x), wanted_of(statement, x))
    ]
    assert wrong == []


def of_small_steps(a, x):
    """Zeros beside numbers of many fraction bits, which int32 holds: nothing is shifted beyond its type."""
    small, zero = a.shift(x, -30), a.constant(0.0)
    return a.concatenate([a.maximum(small, zero), a.minimum(zero, small), a.negate(small), a.less(zero, small),
                          a.select(a.less(small, zero), zero, small)], 1)  # fmt: skip


def test_a_zero_takes_the_units_of_its_partner():
    x = values()
    emulator = emulator_of(of_small_steps)
    assert np.array_equal(emulator.interpret(x), wanted_of(of_small_steps, x))
    shifts = [each.numbers[name].max() for each in emulator.program.instructions for name in ("up_a", "up_b")]
    assert max(shifts) == 0


SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


@pytest.mark.parametrize(
    "flags",
    [pytest.param(("-O0",), marks=pytest.mark.slow), pytest.param(SANITIZED, marks=pytest.mark.nightly)],
    ids=str,
)
def test_the_code_gives_what_the_integers_give(flags, compiled):
    x = values()
    statements = {**STATEMENTS, **MODES, "small steps": of_small_steps}
    library = compiled([emulator_of(statement) for statement in statements.values()], flags)
    wrong = [
        name
        for number, (name, statement) in enumerate(statements.items())
        if not np.array_equal(library.run(number, x), wanted_of(statement, x))
    ]
    assert wrong == []


def test_of_several_statements_the_one_of_fewest_loops_is_kept():
    shifted = emulator_of(STATEMENTS["cheapest"])
    assert shifted.program.instructions == ()  # a shift only changes what the integers stand for


def test_what_nothing_needs_is_left_out():
    def statement(a, x):
        a.einsum("bi,io->bo", x, a.constant(KERNEL))
        return a.gather(a.add(x, x), [2], 1)

    (instruction,) = emulator_of(statement).program.instructions
    assert (instruction.op, len(instruction.out)) == ("add", 1)


def test_narrow_integers_are_used_where_bounds_allow():
    def of_four(a, x):
        return a.einsum("bi,io->bo", a.gather(x, [0, 1, 2, 3], 1), a.constant(KERNEL[:4]))

    narrow, wide = (emulator_of(each).program for each in (of_four, STATEMENTS["einsum of data"]))
    assert [each.wide for each in narrow.instructions] == [False]
    assert [each.wide for each in wide.instructions] == [True]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (lambda a, x: a.einsum("bi,bj->bij", x, x), r"a sum of products needs \d+ bits, and the emulator computes"),
        (lambda a, x: a.add(x, a.constant(2.0**-60)), r"what add computes needs \d+ bits"),
        (lambda a, x: a.table(x, np.abs), r"a table of 2097152 entries\. At most: 65536\."),
    ],
)
def test_what_64_bits_do_not_hold_is_refused(statement, message):
    with pytest.raises(Unsupported, match=message):
        emulator_of(statement)
