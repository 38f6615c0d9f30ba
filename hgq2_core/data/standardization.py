"""Standardization of inputs to mean 0 and deviation 1, and its numbers, to apply to new data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hgq2_core.data.arrays import Rows, chunks
from hgq2_core.errors import DataError

if TYPE_CHECKING:
    import keras

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Standardization:
    """The map from raw inputs to those that a model is trained on: `(x - mean) / scale`, elementwise.

    Args:
        mean: mean of each input over the training part, float64.
        scale: standard deviation of each input, float64; 1 for an input that is constant in the training part.
        features: names of the inputs, in order; empty if they have none.
    """

    mean: Array
    scale: Array
    features: tuple[str, ...] = ()

    @classmethod
    def fit(cls, x: ArrayLike | Rows, features: tuple[str, ...] = ()) -> Standardization:
        """Return the standardization of a training part.

        Args:
            x: raw inputs, shape `(samples, ...)`; `Rows` are read a few at a time.
            features: names of the inputs.
        """
        if isinstance(x, Rows):
            return cls(*_streamed(x), features)
        x = np.asarray(x, dtype=np.float64)
        # Compared, since the mean of equal values may be off by rounding, so that the deviation is not zero.
        constant = (x == x[0]).all(axis=0)
        mean, deviation = np.where(constant, x[0], x.mean(axis=0)), x.std(axis=0)
        return cls(mean, np.where(constant | (deviation == 0), 1.0, deviation), features)

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """Return standardized inputs, computed in float64.

        Args:
            x: raw inputs, shape `(samples, ...)`.

        Raises:
            DataError: the shape differs from that of the training part.
        """
        raw = np.asarray(x, dtype=np.float64)
        if raw.shape[1:] != self.mean.shape:
            names = f": {', '.join(self.features)}" if self.features else ""
            raise DataError(
                f"standardization: takes inputs of shape (samples{''.join(f', {n}' for n in self.mean.shape)}){names}. "
                f"Received: shape {raw.shape}."
            )
        standardized: NDArray[np.float32] = ((raw - self.mean) / self.scale).astype(np.float32)
        return standardized

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `from_dict`."""
        named = {"features": list(self.features)} if self.features else {}
        return {**named, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Standardization:
        """Return the standardization that plain data describe.

        Raises:
            DataError: `mean` and `scale` are missing or of different shapes, or a value is not finite.
        """
        try:
            mean, scale = (np.asarray(document[name], dtype=np.float64) for name in ("mean", "scale"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"standardization: must hold numbers as `mean` and `scale`. {error!r}") from error
        if mean.shape != scale.shape or not (np.isfinite(mean).all() and np.isfinite(scale).all() and scale.all()):
            raise DataError(
                "standardization: `mean` and `scale` must have one shape and finite values, and no scale is 0. "
                f"Received: shapes {mean.shape} and {scale.shape}."
            )
        return cls(mean, scale, tuple(map(str, document.get("features", ()))))


def _streamed(rows: Rows) -> tuple[Array, Array]:
    """Return mean and scale of rows, from those of their chunks."""
    count, mean, squares, least, most = 0, np.zeros(()), np.zeros(()), np.array(np.inf), np.array(-np.inf)
    for chunk in chunks(rows):
        x = np.asarray(chunk, dtype=np.float64)
        own, off = x.mean(axis=0), x.mean(axis=0) - mean
        total = count + len(x)
        squares = squares + ((x - own) ** 2).sum(axis=0) + off**2 * (count * len(x) / total)
        mean, count = mean + off * (len(x) / total), total
        least, most = np.minimum(least, x.min(axis=0)), np.maximum(most, x.max(axis=0))
    constant, deviation = least == most, np.sqrt(squares / count)
    return np.where(constant, least, mean), np.where(constant | (deviation == 0), 1.0, deviation)


def with_standardization(model: keras.Model, standardization: Standardization) -> keras.Model:
    """Return a model that takes raw inputs and standardizes them by Keras layers in front of the given model.

    These layers compute in float64, if the backend supports it. They have no exact arithmetic: verify and export the
    given model.

    Args:
        model: a model with one input; it is shared, not copied.
        standardization: standardization of the data that it was trained on, such as `Splits.standardization`.

    Raises:
        DataError: the model has several inputs, or an input of another shape.
    """
    import keras

    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    if shapes != [standardization.mean.shape]:
        received = ", ".join(map(str, shapes))
        raise DataError(
            f"with_standardization: the model must have one input of shape {standardization.mean.shape}. "
            f"Received: {received}."
        )
    dtype = _widest_float()
    mean, scale = standardization.mean, standardization.scale
    # Two layers, since x / scale - mean / scale loses the digits that a large mean occupies.
    raw = keras.Input(mean.shape, dtype=dtype, name="raw")
    centred = keras.layers.Rescaling(1.0, (-mean).tolist(), dtype=dtype, name="centre")(raw)
    scaled = keras.layers.Rescaling((1 / scale).tolist(), dtype=dtype, name="scale")(centred)
    return keras.Model(raw, model(scaled), name=f"raw_{model.name}")


def _widest_float() -> str:
    """Return float64, or the widest float dtype that the backend supports."""
    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jax warns that float64 is not enabled
        return str(keras.backend.standardize_dtype(keras.ops.cast(0.0, "float64").dtype))
