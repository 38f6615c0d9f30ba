"""The record of a model's run on data: inputs and outputs of each layer, and the overflow of each quantizer."""

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
from hgq2_core.ops import step_by_step
from hgq2_core.quantizers.base import Quantizer

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]
Ends = tuple[float, float]


class Signal:
    """Statistics of the tensors at one place over all samples: elements that never change, and elements always 0."""

    def __init__(self) -> None:
        self.not_finite = 0
        self.values = 0
        self._first: list[Values] = []
        self._constant: list[Flags] = []
        self._zero: list[Flags] = []

    def add(self, tensors: Iterable[Any]) -> None:
        """Add one batch.

        Args:
            tensors: the tensors, samples first; as many for every batch.
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
        """The shape of each tensor, without the batch axis."""
        return [first.shape for first in self._first]

    @property
    def elements(self) -> int:
        """Number of elements of one sample."""
        return sum(flags.size for flags in self._constant)

    @property
    def constant(self) -> int:
        """Number of elements that are the same in every sample."""
        return sum(int(flags.sum()) for flags in self._constant)

    @property
    def zero(self) -> int:
        """Number of elements that are 0 in every sample."""
        return sum(int(flags.sum()) for flags in self._zero)


@dataclass(frozen=True)
class LayerCall:
    """One application of a layer: its path, and statistics of its inputs and outputs."""

    layer: keras.layers.Layer
    path: str
    inputs: Signal = field(default_factory=Signal)
    outputs: Signal = field(default_factory=Signal)


@dataclass(frozen=True)
class Worst:
    """The value furthest outside a range, its quantized value, and the range."""

    value: float
    becomes: float
    low: float
    high: float

    @property
    def distance(self) -> float:
        """Distance of the value from the range."""
        return max(self.value - self.high, self.low - self.value)


class Overflow:
    """Counts of the values of a quantizer that are outside its range."""

    def __init__(self) -> None:
        self.values = 0
        self.outside = 0
        self.thrown = 0
        """Number of values outside that wrapped: they did not become the nearer end of the range."""
        self.worst: Worst | None = None
        self.seen: Ends | None = None
        """The smallest and the largest value."""
        self.range: Ends | None = None
        """The ends of the range; the outermost ones, if elements have ranges of their own."""

    def add(self, quantizer: Quantizer[Any], x: Values, q: Values) -> None:
        """Record values and their quantized form, except non-finite values, which `not_finite` reports."""
        finite = np.isfinite(x)
        check = quantizer.check_range(np.where(finite, x, x.dtype.type(0)))
        if check is None:
            return
        low, high = np.broadcast_to(check.low, x.shape), np.broadcast_to(check.high, x.shape)
        # A format whose only value is 0 is pruned, which the check `all_zero` reports.
        outside = check.outside & finite & (low < high)
        self.values += int(finite.sum())
        self.outside += int(outside.sum())
        if finite.any():
            self.seen = _hull(self.seen, x[finite])
            self.range = _hull(self.range, np.stack([low[finite], high[finite]]))
        if not outside.any():
            return
        values, became, low, high = (array[outside].astype(np.float64) for array in (x, q, low, high))
        # Close, since float32 does not hold an end of more than 24 bits.
        self.thrown += int(np.sum(~np.isclose(became, np.clip(values, low, high), rtol=1e-6, atol=0)))
        at = int(np.argmax(np.maximum(values - high, low - values)))
        worst = Worst(*(float(array[at]) for array in (values, became, low, high)))
        if self.worst is None or worst.distance > self.worst.distance:
            self.worst = worst

    @property
    def share(self) -> float | None:
        """The share of values outside; None if the quantizer has no range or no values."""
        return self.outside / self.values if self.values else None


def _hull(before: Ends | None, values: Values) -> Ends:
    low, high = float(values.min()), float(values.max())
    return (low, high) if before is None else (min(before[0], low), max(before[1], high))


@dataclass(frozen=True)
class Observation:
    """The record of a model's run on data.

    Args:
        samples: number of samples.
        inputs: statistics of the model's inputs.
        calls: each application of a layer, in the order of the graph; only the model if its graph is not known.
        overflows: the overflow of each activation quantizer, over all its applications.
    """

    samples: int
    inputs: Signal
    calls: tuple[LayerCall, ...]
    overflows: dict[Quantizer[Any], Overflow]


def observe(model: keras.Model, parts: Iterable[Any]) -> Observation:
    """Run a model on data, in inference mode, and return the record.

    Args:
        model: any Keras model.
        parts: batches of its inputs.
    """
    activations = [
        layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.slot.batched and is_healthy(layer)
    ]
    overflows = {quantizer: Overflow() for quantizer in activations}
    recorder, seen, samples = _Recorder(), Signal(), 0
    with _recording(overflows):
        for batch in parts:
            samples += samples_of(batch)
            seen.add(keras.tree.flatten(batch))
            recorder.position = 0
            if graph_is_known(model):
                run(model, model_inputs(model, batch), recorder.apply)
            else:
                recorder.apply(model, model.name, (batch,), {})
    return Observation(samples, seen, tuple(recorder.calls), overflows)


class _Recorder:
    """Records the calls of layers, identified by their order, which is the same for every batch."""

    def __init__(self) -> None:
        self.calls: list[LayerCall] = []
        self.position = 0

    def apply(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.position == len(self.calls):
            self.calls.append(LayerCall(layer, path))
        each = self.calls[self.position]
        self.position += 1
        outputs = infer(layer, args, kwargs)
        each.inputs.add(_tensors(args))
        each.outputs.add(_tensors(outputs))
        return outputs


def _tensors(values: Any) -> list[Any]:
    # Operations such as `x + 1` take numbers too.
    return [value for value in keras.tree.flatten(values) if getattr(value, "ndim", 0)]


@contextmanager
def _recording(overflows: dict[Quantizer[Any], Overflow]) -> Iterator[None]:
    """Make the `quantize` of each quantizer also record its values; layers look it up on the object at every call."""

    def recording(quantizer: Quantizer[Any], overflow: Overflow) -> Any:
        def quantize(x: Any, training: bool = False) -> Any:
            q = type(quantizer).quantize(quantizer, x, training)
            overflow.add(quantizer, as_array(x), as_array(q))
            return q

        return quantize

    try:
        for quantizer, overflow in overflows.items():
            vars(quantizer)["quantize"] = recording(quantizer, overflow)
        with step_by_step():
            yield
    finally:
        for quantizer in overflows:
            vars(quantizer).pop("quantize", None)


def is_healthy(quantizer: Quantizer[Any]) -> bool:
    """Return True if all variables of a quantizer are finite, so that its format is defined."""
    return all(count_not_finite(as_array(variable)) == 0 for variable in quantizer.variables)


def as_array(tensor: Any) -> Values:
    """Return the values of a tensor or variable as a numpy array."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def count_not_finite(array: Values) -> int:
    """Return the number of NaN and infinite values; integers have none."""
    return 0 if array.dtype.kind in "iub" else int(np.sum(~np.isfinite(array)))
