"""Type checkers see every argument of a layer: its type, its place, and that there are no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.once]

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
from typing import Any

from typing_extensions import assert_type, override

from hgq2_attention import QMultiHeadAttention
from hgq2_core import QLayer
from hgq2_layers import QBatchNormalization, QConv2D, QDense, QLSTM, QMaxPooling2D

dense = QDense(8, "relu", False, kernel_quantizer="kbi", kernel_initializer="ones", name="a", dtype="float32")
assert_type(dense, QDense)
assert_type(dense.units, int)
assert_type(dense.name, str)
conv = QConv2D(4, 3, (1, 2), padding="same", parallelization_factor=2, ebops_beta=1e-5)
assert_type(conv.kernel_size, tuple[int, ...])
QLSTM(4, "tanh", "sigmoid", return_sequences=True, carry_quantizer={"kind": "kif"})
QMultiHeadAttention(2, 8, None, 0.1, use_gate=True, gate_quantizer=None)
QMaxPooling2D()

QDense("8")  # error: a wrong type
QDense(8, unit=3)  # error: an unknown argument
QDense(8, "relu", False, "ones")  # error: one by position that is given by name
QDense()  # error: one is missing
QDense(8, name=3)  # error: a wrong type of Keras' own
QConv2D(4, "3")  # error: a wrong type of what is stored otherwise
QConv2D(4, 3, padding="full")  # error: a wrong choice
QBatchNormalization(-1, "kbi")  # error: behind KW_ONLY
QLSTM(4, go_backward=True)  # error: an unknown argument of a base
QMultiHeadAttention(2, 8, gate_quantiser=None)  # error: an unknown argument of a base


class Scaled(QLayer):
    factor: int
    power: float = 1.0

    @override
    def ebops(self) -> Any:
        return 0.0

    @override
    def exact(self, arrays: Any, *inputs: Any) -> Any:
        return inputs[0]


class ByHand(QDense):
    def __init__(self, units: int, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.gain = gain


Scaled(2, 3.0, trainable=False)
ByHand(2, 0.5, use_bias=False)
Scaled(2.5)  # error: a wrong type of a field of one's own
ByHand("2")  # error: a wrong type of a constructor written by hand
"""

EXPECTED = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# error" in line}


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_mypy_sees_the_arguments(program):
    done = subprocess.run([sys.executable, "-m", "mypy", str(program)], cwd=ROOT, capture_output=True, text=True)
    found = re.findall(r"program\.py:(\d+): error:", done.stdout)
    assert set(map(int, found)) == EXPECTED, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed; pip install pyright")
def test_pyright_sees_the_arguments(program):
    plugins = sorted(str(path) for path in (ROOT / "plugins").iterdir())
    config = {"include": [program.name], "extraPaths": [str(ROOT), *plugins]}
    (program.parent / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        ["pyright", "--pythonpath", sys.executable, "--outputjson"], cwd=program.parent, capture_output=True, text=True
    )
    found = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    assert {each["range"]["start"]["line"] + 1 for each in found} == EXPECTED, done.stdout
