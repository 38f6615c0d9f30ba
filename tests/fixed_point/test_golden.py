"""The golden vectors, bit for bit, for the numpy reference and for the backend operation."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from differentiation import require_float64

from hgq2_fixed_point import arithmetic, ops

GOLDEN = Path(__file__).parents[1] / "golden"


def _load_checker():
    spec = importlib.util.spec_from_file_location("golden_check", GOLDEN / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load_checker()


def _tensor(v, dtype):
    return keras.ops.convert_to_tensor(np.asarray(v, dtype))


def kif(x, k, i, f, round_mode, overflow_mode):
    q = ops.quantize(_tensor(x, x.dtype), *(_tensor(n, "float32") for n in (k, i, f)), round_mode, overflow_mode)
    return keras.ops.convert_to_numpy(q)


def kbi(x, k, i, f, round_mode, overflow_mode):
    bits = (_tensor(n, "float32") for n in (k, i + f, i))
    return keras.ops.convert_to_numpy(ops.quantize_kbi(_tensor(x, x.dtype), *bits, round_mode, overflow_mode))


# jax and tensorflow flush subnormal numbers; jax has float64 only if told so before it starts.
check.SKIP_SUBNORMAL = keras.backend.backend() != "torch"


@pytest.mark.parametrize("function", [arithmetic.quantize, kif, kbi], ids=["numpy", "kif", "kbi"])
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
