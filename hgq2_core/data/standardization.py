"""Shifting and scaling inputs to mean 0 and deviation 1, and the numbers that it takes for new data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hgq2_core.errors import DataError

if TYPE_CHECKING:
    import keras

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Standardization:
    """What turns raw inputs into those that a model is trained on: `(x - mean) / scale`, by element.

    Args:
        mean: of each input over the training part, float64.
        scale: its standard deviation, float64; 1 for an input that is constant there.
        features: names of the inputs, in order; empty if they have none.
    """

    mean: Array
    scale: Array
    features: tuple[str, ...] = ()

    @classmethod
    def fit(cls, x: ArrayLike, features: tuple[str, ...] = ()) -> Standardization:
        """Return the standardization of a training part.

        Args:
            x: raw inputs, shape `(samples, ...)`.
            features: names of the inputs.
        """
        x = np.asarray(x, dtype=np.float64)
        # Compared, for the mean of equal values may be off by rounding and its deviation not zero.
        constant = (x == x[0]).all(axis=0)
        mean, deviation = np.where(constant, x[0], x.mean(axis=0)), x.std(axis=0)
        return cls(mean, np.where(constant | (deviation == 0), 1.0, deviation), features)

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """Return raw inputs as the model takes them, computed in float64.

        Args:
            x: raw inputs, shape `(samples, ...)`.

        Raises:
            DataError: another shape than that of the training part.
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
        """Return plain data, which `from_dict` takes."""
        named = {"features": list(self.features)} if self.features else {}
        return {**named, "mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Standardization:
        """Return the standardization that plain data describe.

        Raises:
            DataError: no mean or scale of one shape, or a value that is not finite.
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


def with_standardization(model: keras.Model, standardization: Standardization) -> keras.Model:
    """Return a model that takes raw inputs: Keras' own layers in front standardize them.

    It computes in float64 where the backend has it. The layers in front have no exact arithmetic: verify and export
    the model itself.

    Args:
        model: of one input; it is shared, not copied.
        standardization: of the data that it was trained on, such as `Splits.standardization`.

    Raises:
        DataError: a model of several inputs, or of another shape.
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
    # Apart, for x / scale - mean / scale loses the digits that a large mean takes up.
    raw = keras.Input(mean.shape, dtype=dtype, name="raw")
    centred = keras.layers.Rescaling(1.0, (-mean).tolist(), dtype=dtype, name="centre")(raw)
    scaled = keras.layers.Rescaling((1 / scale).tolist(), dtype=dtype, name="scale")(centred)
    return keras.Model(raw, model(scaled), name=f"raw_{model.name}")


def _widest_float() -> str:
    """Return float64, or what the backend has in its place."""
    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jax has no float64 unless it is enabled, and says so
        return str(keras.backend.standardize_dtype(keras.ops.cast(0.0, "float64").dtype))
