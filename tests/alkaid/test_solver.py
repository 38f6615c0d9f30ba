"""Products with constant matrices: large ones in blocks of columns, each solved once, also in other processes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from alkaid.trace import FVariable, trace

from hgq2_alkaid import solver as module
from hgq2_alkaid.exporter import HWCONF
from hgq2_alkaid.solver import Solver, blocks, digits
from hgq2_alkaid.solving import solved
from hgq2_core import ToolError

pytestmark = pytest.mark.once

KERNEL = np.random.default_rng(0).integers(-7, 8, (12, 9)) / 4.0


def row(bits=3):
    return [FVariable.from_kif(1, 2, bits, hwconf=HWCONF) for _ in range(len(KERNEL))]


def test_digits_are_those_of_the_signed_binary_form():
    assert digits([[0, 1, 3, 7, -7, 0.75, 11, 2.0**-20, 2.0**40 * 5]]).tolist() == [[0, 1, 2, 2, 2, 2, 3, 1, 2]]
    densest = np.float32(0b101010101010101010101010 / 2.0**20)
    assert digits([[densest]]).tolist() == [[12]]


@pytest.mark.parametrize(("most", "count"), [(10_000, 1), (81, 2), (40, 5), (1, 9)])
def test_columns_lie_in_blocks_of_about_equal_digits(most, count):
    assert digits(KERNEL).sum() == 161
    found = list(blocks(KERNEL, most))
    assert len(found) == count
    assert np.array_equal(np.concatenate([KERNEL[:, each] for each in found], axis=1), KERNEL)


def test_an_empty_matrix_is_one_block():
    assert list(blocks(np.zeros((3, 2)))) == [slice(0, 2)]


@pytest.mark.parametrize("most", [10_000, 40, 1])
def test_products_are_exact_in_any_blocks(most):
    inputs = row()
    outputs = Solver(HWCONF, most).product(inputs, KERNEL)
    values = np.random.default_rng(1).integers(-32, 32, (50, len(KERNEL))) / 8.0
    assert np.array_equal(trace(inputs, list(outputs)).predict(values), values @ KERNEL)


def test_rows_of_the_same_formats_are_solved_once(monkeypatch):
    problems = []
    monkeypatch.setattr(module, "solved", lambda problem: problems.append(problem) or solved(problem))
    made = Solver(HWCONF)
    for each in (row(), row(), row(bits=2), row()):
        made.product(each, KERNEL)
    assert len(problems) == 2


def test_other_processes_find_the_same_adders(monkeypatch):
    alone, several = Solver(HWCONF, 40), Solver(HWCONF, 40, workers=2)
    monkeypatch.setattr(module, "APART", 10)
    several.want(row(), KERNEL)
    several.solve()
    monkeypatch.undo()
    alone.want(row(), KERNEL)
    alone.solve()
    assert len(alone._solutions) == 5
    assert several._solutions == alone._solutions


def test_inputs_of_one_bit_are_left_to_the_tables_of_alkaid():
    bits = [FVariable.from_kif(0, 1, 0, hwconf=HWCONF) for _ in range(len(KERNEL))]
    made = Solver(HWCONF)
    outputs = made.product(bits, KERNEL)
    assert not made._solutions
    values = np.random.default_rng(1).integers(0, 2, (50, len(KERNEL))).astype(np.float64)
    assert np.array_equal(trace(bits, list(outputs)).predict(values), values @ KERNEL)


def test_signs_alone_are_inputs_of_one_bit_too():
    bits = [FVariable.from_kif(1, -1, 1, hwconf=HWCONF) for _ in KERNEL]
    outputs = Solver(HWCONF).product(bits, KERNEL)
    x = np.random.default_rng(1).integers(-1, 1, (50, len(KERNEL))) / 2.0
    assert np.array_equal(trace(bits, list(outputs)).predict(x), x @ KERNEL)


def test_a_process_that_dies_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(module, "APART", 10)
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    several = Solver(HWCONF, 40, workers=2)
    several.want(row(), KERNEL)
    with pytest.raises(ToolError, match="ended with code 1"):
        several.solve()


def test_an_interrupted_wait_ends_the_processes(monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    def interrupt(process, problems):
        if len(started) == 2 and process is started[-1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "APART", 10)
    monkeypatch.setattr(module.subprocess, "Popen", Process)
    monkeypatch.setattr(module, "_give", interrupt)
    several = Solver(HWCONF, 40, workers=2)
    several.want(row(), KERNEL)
    with pytest.raises(KeyboardInterrupt):
        several.solve()
    assert [each.returncode for each in started] == [-9, -9]
