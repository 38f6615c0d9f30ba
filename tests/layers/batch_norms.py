"""The layers that normalize, with uneven variables."""

from __future__ import annotations

import keras
import numpy as np
from arrays import numpy_of

from hgq2_core.schema.signature import parameters
from hgq2_layers import QBatchNormalization, QBatchNormDense, QDenseBatchNorm, QEinsumDenseBatchNorm

Norm = keras.layers.BatchNormalization
CLASSES = [QDenseBatchNorm, QBatchNormDense, QEinsumDenseBatchNorm, QBatchNormalization]
OPTIONS = {"momentum": 0.8, "epsilon": 0.25}
SATURATING = {"kind": "kif", "overflow_mode": "SAT_SYM"}


def values(*shape, seed=1):
    return np.random.default_rng(seed).normal(0.5, 1.5, size=shape).astype(np.float32)


def slots(cls):
    return [name for name in parameters(cls) if name.endswith("_quantizer")]


def plain(cls, *args, **kwargs):
    """Return a layer that quantizes nothing."""
    return cls(*args, **dict.fromkeys(slots(cls), "none"), ebops_beta=0, **kwargs)


def make(cls, **kwargs):
    """Return a layer of the class, for inputs of shape (4,) and more."""
    required = {QDenseBatchNorm: [5], QBatchNormDense: [5], QEinsumDenseBatchNorm: ["...a,ab->...b", 5, None, "b"]}
    return cls(*required.get(cls, []), **kwargs)


def fill(layer, seed=0):
    """Return weights and moving statistics uneven values."""
    rng = np.random.default_rng(seed)
    for variable in own_variables(layer):
        draws = rng.normal(size=tuple(variable.shape))
        variable.assign(0.5 + draws**2 if variable.name in ("moving_variance", "gamma") else draws)


def own_variables(layer):
    names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return [variable for variable in layer.variables if variable.name in names]


def statistics(layer):
    return [numpy_of(layer.moving_mean), numpy_of(layer.moving_variance)]
