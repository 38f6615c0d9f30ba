"""The golden vectors, bit for bit, for the numpy reference and for the backend operation, eager and compiled."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from hgq2_minifloat import ops, quantize

GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = pytest.mark.every_backend


def _load_checker():
    spec = importlib.util.spec_from_file_location("golden_check", GOLDEN / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load_checker()
# jax and tensorflow flush subnormal numbers.
check.SKIP_SUBNORMAL = keras.backend.backend() != "torch"


def eager(x, m, e, e0):
    return keras.ops.convert_to_numpy(ops.quantize(x, m, e, e0))


def compiled(x, m, e, e0):
    operands = (keras.ops.convert_to_tensor(np.float32(v)) for v in (x, m, e, e0))
    return keras.ops.convert_to_numpy(_compiled()(*operands))


def _compiled():
    def function(x, m, e, e0):
        return ops.quantize(x, m, e, e0)

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


FUNCTIONS = [quantize, eager] if keras.backend.backend() == "torch" else [quantize, eager, compiled]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_golden_vectors(function):
    data = np.load(GOLDEN / "minifloat.npz")
    mismatches, checked, first, errors = check.check_mini(data, function, False, False)
    assert not errors
    assert sum(checked.values()) > 20_000
    assert not {key: n for key, n in mismatches.items() if n}, first
