"""What happens in a model while it runs on data: what passes each layer, and what each quantizer does to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.data.batches import samples_of
from hgq2_core.keras_graph.traversal import graph_is_known, infer, layers_of, model_inputs, run
from hgq2_core.quantizers.base import Quantizer

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]


class Signal:
    """What passes one place of a model, over all samples: which elements never change, and which are always 0."""

    def __init__(self) -> None:
        self.not_finite = 0
        self.values = 0
        self._first: list[Values] = []
        self._constant: list[Flags] = []
        self._zero: list[Flags] = []

    def add(self, tensors: Iterable[Any]) -> None:
        """Take in one batch.

        Args:
            tensors: samples first; the same number of them for every batch.
        """
        arrays = [as_array(tensor) for tensor in tensors]
        if not self._first:
            self._first = [array[0] for array in arrays]
            self._constant = [np.ones(array.shape[1:], bool) for array in arrays]
            self._zero = [np.ones(array.shape[1:], bool) for array in arrays]
        for n, array in enumerate(arrays):
            self.values += array.size
            self.not_finite += count_not_finite(array)
            self._constant[n] &= (array == self._first[n]).all(axis=0)
            self._zero[n] &= (array == 0).all(axis=0)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each tensor, without the batch."""
        return [first.shape for first in self._first]

    @property
    def elements(self) -> int:
        """The elements of one sample."""
        return sum(flags.size for flags in self._constant)

    @property
    def constant(self) -> int:
        """The elements that are the same in every sample."""
        return sum(int(flags.sum()) for flags in self._constant)

    @property
    def zero(self) -> int:
        """The elements that are 0 in every sample."""
        return sum(int(flags.sum()) for flags in self._zero)


@dataclass(frozen=True)
class LayerCall:
    """One application of a layer: its place, and what went in and out."""

    layer: keras.layers.Layer
    path: str
    inputs: Signal = field(default_factory=Signal)
    outputs: Signal = field(default_factory=Signal)


@dataclass(frozen=True)
class Worst:
    """The value furthest outside a range, what it became, and the range."""

    value: float
    becomes: float
    low: float
    high: float

    @property
    def distance(self) -> float:
        """How far outside it lies."""
        return max(self.value - self.high, self.low - self.value)


class Overflow:
    """How the values that a quantizer saw fit into its range."""

    def __init__(self) -> None:
        self.values = 0
        self.outside = 0
        self.thrown = 0
        """Values outside that did not become the nearer end of the range: they wrapped."""
        self.worst: Worst | None = None

    def add(self, quantizer: Quantizer[Any], x: Values, q: Values) -> None:
        """Record values, and their quantized form. NaN and infinite ones are left out: `not_finite` reports these."""
        finite = np.isfinite(x)
        check = quantizer.check_range(np.where(finite, x, x.dtype.type(0)))
        if check is None:
            return
        low, high = np.broadcast_to(check.low, x.shape), np.broadcast_to(check.high, x.shape)
        # A format whose only value is 0 is pruned, which the check `all_zero` reports.
        outside = check.outside & finite & (low < high)
        self.values += int(finite.sum())
        self.outside += int(outside.sum())
        if not outside.any():
            return
        values, became, low, high = (array[outside].astype(np.float64) for array in (x, q, low, high))
        # Close to, as an end of more than 24 bits is no float32.
        self.thrown += int(np.sum(~np.isclose(became, np.clip(values, low, high), rtol=1e-6, atol=0)))
        at = int(np.argmax(np.maximum(values - high, low - values)))
        worst = Worst(*(float(array[at]) for array in (values, became, low, high)))
        if self.worst is None or worst.distance > self.worst.distance:
            self.worst = worst

    @property
    def share(self) -> float | None:
        """The share of values outside; None where the quantizer has no range, or saw nothing."""
        return self.outside / self.values if self.values else None


@dataclass(frozen=True)
class Observation:
    """A model's run on data.

    Args:
        samples: how many there were.
        inputs: of the model.
        applied: each application of a layer in the order of the graph; the model alone where its graph is not known.
        overflows: of the quantizers of activations, each over all its applications.
    """

    samples: int
    inputs: Signal
    applied: tuple[LayerCall, ...]
    overflows: dict[Quantizer[Any], Overflow]


def observe(model: keras.Model, parts: Iterable[Any]) -> Observation:
    """Run a model on data, without training, and watch.

    Args:
        model: any Keras model.
        parts: batches of its inputs.
    """
    activations = [
        layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.slot.batched and is_healthy(layer)
    ]
    overflows = {quantizer: Overflow() for quantizer in activations}
    watch, seen, samples = _Watch(), Signal(), 0
    with _watched(overflows):
        for batch in parts:
            samples += samples_of(batch)
            seen.add(keras.tree.flatten(batch))
            watch.position = 0
            if graph_is_known(model):
                run(model, model_inputs(model, batch), watch.apply)
            else:
                watch.apply(model, model.name, (batch,), {})
    return Observation(samples, seen, tuple(watch.applied), overflows)


class _Watch:
    """The applications of layers, told apart by their order, which is the same for every batch."""

    def __init__(self) -> None:
        self.applied: list[LayerCall] = []
        self.position = 0

    def apply(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.position == len(self.applied):
            self.applied.append(LayerCall(layer, path))
        each = self.applied[self.position]
        self.position += 1
        outputs = infer(layer, args, kwargs)
        each.inputs.add(_tensors(args))
        each.outputs.add(_tensors(outputs))
        return outputs


def _tensors(values: Any) -> list[Any]:
    # Operations such as `x + 1` take numbers too.
    return [value for value in keras.tree.flatten(values) if getattr(value, "ndim", 0)]


@contextmanager
def _watched(overflows: dict[Quantizer[Any], Overflow]) -> Iterator[None]:
    """Let each quantizer's `quantize` also tell what it saw; layers look it up on the object at every call."""

    def watching(quantizer: Quantizer[Any], overflow: Overflow) -> Any:
        def quantize(x: Any, training: bool = False) -> Any:
            q = type(quantizer).quantize(quantizer, x, training)
            overflow.add(quantizer, as_array(x), as_array(q))
            return q

        return quantize

    try:
        for quantizer, overflow in overflows.items():
            vars(quantizer)["quantize"] = watching(quantizer, overflow)
        yield
    finally:
        for quantizer in overflows:
            vars(quantizer).pop("quantize", None)


def is_healthy(quantizer: Quantizer[Any]) -> bool:
    """Return True if all numbers of a quantizer are finite, so that it has a format to speak of."""
    return all(count_not_finite(as_array(variable)) == 0 for variable in quantizer.variables)


def as_array(tensor: Any) -> Values:
    """Return a tensor's or a variable's values."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def count_not_finite(array: Values) -> int:
    """Count NaN and infinities; integers have none."""
    return 0 if array.dtype.kind in "iub" else int(np.sum(~np.isfinite(array)))
