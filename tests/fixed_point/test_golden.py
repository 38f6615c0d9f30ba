"""The golden vectors, bit for bit, for the numpy reference and for the backend operation, eager and compiled."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from differentiation import require_float64

from hgq2_fixed_point import arithmetic, ops

GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = pytest.mark.every_backend


def _load_checker():
    spec = importlib.util.spec_from_file_location("golden_check", GOLDEN / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load_checker()


def _tensor(v, dtype):
    return keras.ops.convert_to_tensor(np.asarray(v, dtype))


def _eager(function):
    return function


def _jit(function):
    import jax

    return jax.jit(function)


def _graph(function):
    import tensorflow as tf

    return tf.function(function)


def _xla(function):
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


BACKEND = keras.backend.backend()
COMPILERS = {"torch": [_eager], "jax": [_eager, _jit], "tensorflow": [_eager, _graph, _xla]}[BACKEND]


@functools.cache
def _compiled(compiler, op, round_mode, overflow_mode):
    return compiler(lambda *tensors: op(*tensors, round_mode, overflow_mode))


def kif(compiler, x, k, i, f, round_mode, overflow_mode):
    bits = (_tensor(n, "float32") for n in (k, i, f))
    quantize = _compiled(compiler, ops.quantize, round_mode, overflow_mode)
    return keras.ops.convert_to_numpy(quantize(_tensor(x, x.dtype), *bits))


def kbi(compiler, x, k, i, f, round_mode, overflow_mode):
    bits = (_tensor(n, "float32") for n in (k, i + f, i))
    quantize = _compiled(compiler, ops.quantize_kbi, round_mode, overflow_mode)
    return keras.ops.convert_to_numpy(quantize(_tensor(x, x.dtype), *bits))


FUNCTIONS = {
    "numpy": arithmetic.quantize,
    **{
        f"{op.__name__}-{compiler.__name__[1:]}": functools.partial(op, compiler)
        for op in (kif, kbi)
        for compiler in COMPILERS
    },
}


# jax and tensorflow flush subnormal numbers; jax has float64 only if told so before it starts.
check.SKIP_SUBNORMAL = BACKEND != "torch"


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("name", ["fixed_f32.npz", "fixed_zero.npz", "fixed_f64.npz"])
def test_golden_vectors(name, function):
    if name == "fixed_f64.npz" and function is not arithmetic.quantize:
        require_float64()
    data = np.load(GOLDEN / name)
    overflows, rounds = data["overflows"].tolist(), data["rounds"].tolist()
    mismatches, checked, first, errors = check.check_fixed(data, function, overflows, rounds, False, False)
    counted = {key: n for key, n in mismatches.items() if n and key[0] != "w1sym"}
    assert not errors
    assert sum(checked.values()) > 0
    assert not counted, first


@pytest.mark.skipif(BACKEND != "jax", reason="the other backends have float64 in every process")
def test_float64_on_jax():
    folder = Path(__file__).parent
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"),
            *("-k", "(fixed_f64 or float64) and not numpy and not on_jax"),
            *(folder / "test_golden.py", folder / "test_arithmetic.py"),
        ],
        env={**os.environ, "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout
    assert "skipped" not in process.stdout
