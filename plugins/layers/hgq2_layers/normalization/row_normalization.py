"""What every layer shares that normalizes each row by statistics of its own: mean square, table, gamma, cost."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths, per_sample
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.layers.masks import refused_mask
from hgq2_core.layers.transfer import shared_arguments
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.defaults import adapted
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_core.quantizers.phase import phase
from hgq2_core.quantizers.ranges import DynamicRange
from hgq2_core.schema.base import FromList
from hgq2_layers.activations.lookup_table import TableLayer, fitted_table
from hgq2_layers.core.multiplexing import MultiplexedLayer
from hgq2_layers.core.reciprocal import ReciprocalLayer, with_reciprocal

A = TypeVar("A")

AxesArg = int | Annotated[tuple[int, ...], FromList]
Shape = tuple[int | None, ...]

VARIANCE_BITS = 12
"""The most bits that index the table by default: 4096 entries."""

VARIANCE_END = 16.0
"""Where the range of the variance first ends by default."""

TABLE_END = 4.0
"""Where the range of the table's entries first ends by default, if that of tables follows all entries."""


@dataclass(frozen=True)
class Steps(Generic[A]):
    """The operands of one computation, each behind its quantizer.

    Args:
        inputs: q, as rows.
        mean: of q; None where it is not subtracted.
        difference: of q and its mean.
        squares: the sum of the squares of the difference, without a quantizer.
        root: the entry of the table.
        normalized: the product of difference and root.
    """

    inputs: A
    mean: A | None
    difference: A
    squares: A
    root: A
    normalized: A


class RowNormalization(ReciprocalLayer, MultiplexedLayer, TableLayer, kw_only=True):
    """v = vq(mean d^2), t = tq(1 / sqrt(v + epsilon)), y = oq(pq(d t) gq(gamma)), each row for itself.

    A row is what shares one mean and one variance. t is a lookup table of v, computed in float64; v = 0 looks up what
    1 / sqrt(epsilon) becomes, which is the largest entry unless the range is wide. The mean is a shift where a row has
    a power of two of elements; elsewhere also a product with a constant. Training computes what inference does.

    A subclass has the arguments `axis` and `epsilon` too, and says which elements are a row, and what d is.

    Args:
        input_quantizer: of x: a config, a kind, a mapping, or None for the default of activations.
        variance_quantizer: vq: a config, a kind, a mapping, or None for unsigned fixed point of at most 12 bits, with
            one range for all rows, which `fit_ranges` sets.
        table_quantizer: tq: a config, a kind, a mapping, or None for the default of tables, unsigned, with a range that
            `fit_ranges` sets; it must saturate.
        normalized_quantizer: pq: a config, a kind (`none` among them), a mapping, or None for the default of
            activations.
        gamma_quantizer: a config, a kind, a mapping, or None for the default of weights.
        output_quantizer: a config, a kind, a mapping, or None, which leaves the outputs unchanged, for the next
            layer to quantize.
        **kwargs: `reciprocal_quantizer` as in `ReciprocalLayer`; `parallelization_factor`, here of rows, and
            `ebops_factor` as in `MultiplexedLayer`.
    """

    input_quantizer: QuantizerArg = None
    variance_quantizer: QuantizerArg = None
    table_quantizer: QuantizerArg = None
    normalized_quantizer: QuantizerArg = None
    gamma_quantizer: QuantizerArg = None
    output_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        """Make the quantizers and the table.

        Raises:
            ConfigError: a quantizer that gives no finite table, or that cannot take 1 / sqrt(epsilon).
        """
        super().setup()
        axes, rows = self.channel_axes()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input", axes)
        self.add_centering(rows)
        variance = _indexing() if self.variance_quantizer is None else self.variance_quantizer
        self.variance_quantizer = self.add_quantizer(variance, "activation", "variance", rows)
        if isinstance(self.variance_quantizer.config, NoQuantizer):
            raise ConfigError(
                f"{self.name}: the variance is the input of a lookup table. Received: variance_quantizer='none'. "
                "Allowed: a quantizer with few values, such as an unsigned 'kbi', or None for the default."
            )
        entries = fitted_table(unsigned=True, end=TABLE_END) if self.table_quantizer is None else self.table_quantizer
        self.table = self.add_table(
            entries, "table", self.variance_quantizer, self.inverse_root, wide_function=self.wide_inverse_root
        )
        self.table_quantizer = self.table.quantizer
        if isinstance(self.table_quantizer.range, DynamicRange):
            raise ConfigError(
                f"{self.name}: table_quantizer must saturate, because a variance of 0 looks up 1 / sqrt(epsilon). "
                f"Received: {self.table_quantizer.config}."
            )
        self.normalized_quantizer = self.add_quantizer(self.normalized_quantizer, "activation", "normalized", rows)
        if self.scales:
            self.gamma_quantizer = self.add_quantizer(self.gamma_quantizer, "weight", "gamma")
        if self.output_quantizer is not None:
            self.output_quantizer = self.add_quantizer(self.output_quantizer, "activation", "output", axes)

    @property
    def scales(self) -> bool:
        """Whether there is a gamma."""
        return True

    def channel_axes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axes that `granularity="channel"` gives bits of their own, of the inputs and of the rows."""
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        return axes, axes

    def add_centering(self, channel_axes: tuple[int, ...]) -> None:
        """Make the quantizers of what stands before the squares; here nothing does."""

    def inverse_root(self, v: Tensor) -> Tensor:
        """Return 1 / sqrt(v + epsilon); of what is below 0, which only a wrapped value is, as of 0."""
        return 1.0 / keras.ops.sqrt(keras.ops.maximum(v, 0.0) + self.epsilon)

    def wide_inverse_root(self, v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the same in float64."""
        return np.asarray(1.0 / np.sqrt(np.maximum(v, 0.0) + self.epsilon))

    @classmethod
    @override
    def from_keras(
        cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any
    ) -> RowNormalization:
        """Take over the arguments; a reciprocal gets the default of weights."""
        given = {**cls.arguments_from_keras(layer), **arguments}
        trial = cls(**given)
        trial.arrange(tuple(layer.input.shape))
        return cls(**with_reciprocal(given, trial.count()))

    @classmethod
    def arguments_from_keras(cls, layer: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments of this class for a Keras layer."""
        return shared_arguments(layer, cls)

    def normalized_axes(self, shape: Shape) -> tuple[int, ...]:
        """Return `axis` counted from the front, rising.

        Raises:
            ConfigError: no such axis, one twice, the batch, or one without a static size.
        """
        given, rank = (self.axis,) if isinstance(self.axis, int) else self.axis, len(shape)
        axes = {axis % rank for axis in given if -rank <= axis < rank}
        if len(axes) < len(given) or not axes or 0 in axes or any(shape[axis] is None for axis in axes):
            raise ConfigError(
                f"{self.name}: `axis` names axes of the input, each once, of static size, and not the batch. "
                f"Received: axis={self.axis} for shape {shape}."
            )
        return tuple(sorted(axes))

    def arrange(self, shape: Shape) -> None:
        """Determine from the shape of the input which elements are a row, and which have a gamma of their own.

        Sets `row_shape`, in which the inputs are rows, `row_axes`, over which statistics are taken there,
        `weight_shape` of gamma and beta, and `spread_shape`, in which these meet the inputs.

        Args:
            shape: batch axis included.

        Raises:
            ConfigError: axes that do not fit the shape.
        """
        self.row_axes = self.normalized_axes(shape)
        self.row_shape = shape
        self.weight_shape = tuple(shape[axis] or 1 for axis in self.row_axes)
        self.spread_shape = tuple((size or 1) if axis in self.row_axes else 1 for axis, size in enumerate(shape))[1:]

    def count(self) -> npt.NDArray[np.int64]:
        """Return how many elements a row has."""
        return np.array(math.prod(self.row_shape[axis] or 1 for axis in self.row_axes))

    @override
    def build(self, input_shape: Shape) -> None:
        """Add the weights, and build quantizers and table.

        Args:
            input_shape: batch axis included; normalized axes need a static size.

        Raises:
            ConfigError: axes that do not fit the shape, more rows at once than there are, or a count of elements in a
                row that is no power of two without `reciprocal_quantizer`.
        """
        shape = tuple(input_shape)
        self.arrange(shape)
        self.require_positions()
        self.build_reciprocal(self.count(), "elements", "a power of two of elements in a row")
        self.input_spec = keras.layers.InputSpec(
            ndim=len(shape), axes={n: size for n, size in enumerate(shape) if n and size}
        )
        self._built_shape = shape
        statistics = tuple(1 if axis in self.row_axes else size for axis, size in enumerate(self.row_shape))
        self.input_quantizer.build(shape)
        self.build_centering(statistics)
        self.variance_quantizer.build(statistics)
        self.table.build()
        self.normalized_quantizer.build(self.row_shape)
        self.add_parameters(self.weight_shape)
        if self.output_quantizer is not None:
            self.output_quantizer.build(shape)
        self.built = True

    def build_centering(self, statistics: Shape) -> None:
        """Build the quantizers of what stands before the squares."""

    @abstractmethod
    def add_parameters(self, shape: tuple[int, ...]) -> None:
        """Add gamma, and beta if there is one, and build their quantizers."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input."""
        return tuple(input_shape)

    @override
    def position_sizes(self) -> Sequence[int | None]:
        """Return the sizes of the axes along which the rows lie."""
        return [size for axis, size in enumerate(self.row_shape) if axis and axis not in self.row_axes]

    @override
    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> Any:
        """Return the mask of the inputs.

        Raises:
            ConfigError: one that leaves out elements of a row.
        """
        if previous_mask is not None and self.covered_axes() & {
            axis for axis, size in enumerate(previous_mask.shape) if size != 1
        }:
            raise refused_mask(self.name, "all elements of a row count in its statistics")
        return super().compute_mask(inputs, previous_mask)

    def covered_axes(self) -> set[int]:
        """Return the axes of the inputs along which rows extend."""
        return set(self.row_axes)

    def weights_to_quantize(self) -> dict[str, Tensor]:
        """Return gamma, and what else is trained and quantized as a weight, by slot name."""
        return {"gamma": self.gamma} if self.scales else {}

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the weights, the reciprocal, and the entries of the table."""
        return {**super().folded(), **self.weights_to_quantize()}

    @override
    def input_of_quantizer(self, name: str) -> Tensor:
        """Return the weight of a slot, without the table."""
        if not self.frozen:
            if name == "reciprocal":
                return keras.ops.convert_to_tensor(self.reciprocals, self.compute_dtype)
            if name in (weights := self.weights_to_quantize()):
                return weights[name]
        return super().input_of_quantizer(name)

    def quantized_weight(self, name: str, training: bool) -> Tensor:
        """Return the quantized weight of a slot, without the table."""
        value = self.input_of_quantizer(name)
        return value if self.frozen else self.slot_quantizer(name).quantize(value, training)

    def mean(self, x: Tensor, reciprocal: Tensor | None) -> Tensor:
        """Return the mean of each row."""
        return self.divided(keras.ops.sum(x, axis=self.row_axes, keepdims=True), reciprocal)

    def exact_mean(self, arrays: Arrays[A], x: A) -> A:
        """Return the mean of each row, exactly."""
        return self.exact_divided(arrays, arrays.sum(x, self.row_axes, keepdims=True))

    def centered(self, q: Tensor, reciprocal: Tensor | None, training: bool) -> Tensor:
        """Return d; here q itself."""
        return q

    def exact_centered(self, arrays: Arrays[A], q: A) -> tuple[A | None, A]:
        """Return the mean, if there is one, and d, exactly."""
        return None, q

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        training = bool(training)
        q = self.input_quantizer.quantize(inputs, training)
        reciprocal = self.quantized_weight("reciprocal", training) if self.multiplies else None
        d = self.centered(self.as_rows(q), reciprocal, training)
        v = self.variance_quantizer.quantize(self.mean(d * d, reciprocal), training)
        if phase() == "fit":
            # Where v is 0, so is d, and nothing depends on the root: the range of the entries spares it.
            v = keras.ops.where(v > 0, v, keras.ops.max(v))
        p = self.normalized_quantizer.quantize(d * self.table(v, training), training)
        y = self.shifted(self.from_rows(p), training)
        return y if self.output_quantizer is None else self.output_quantizer.quantize(y, training)

    def as_rows(self, q: Tensor) -> Tensor:
        """Return the inputs in the shape in which they are rows; here their own."""
        return q

    def from_rows(self, p: Tensor) -> Tensor:
        """Return rows in the shape of the inputs; here their own."""
        return p

    def shifted(self, p: Tensor, training: bool) -> Tensor:
        """Return p gamma."""
        if not self.scales:
            return p
        return p * keras.ops.reshape(self.quantized_weight("gamma", training), self.spread_shape)

    def exact_shifted(self, arrays: Arrays[A], p: A) -> A:
        """Return p gamma, exactly."""
        return arrays.multiply(p, self.exact_weight(arrays, "gamma")) if self.scales else p

    def exact_weight(self, arrays: Arrays[A], name: str) -> A:
        """Return a quantized weight in the shape in which it meets the inputs."""
        return arrays.reshape(self.constant(arrays, name), self.spread_shape)

    def steps(self, arrays: Arrays[A], q: A) -> Steps[A]:
        """State what is computed from the quantized inputs, up to the product with the root."""
        rows = arrays.reshape(q, (arrays.shape(q)[0], *(size or 1 for size in self.row_shape[1:])))
        mean, d = self.exact_centered(arrays, rows)
        squares = arrays.sum(arrays.multiply(d, d), self.row_axes, keepdims=True)
        v = self.variance_quantizer.exact(arrays, self.exact_divided(arrays, squares))
        root = self.table.exact(arrays, v)
        p = self.normalized_quantizer.exact(arrays, arrays.multiply(d, root))
        return Steps(rows, mean, d, squares, root, p)

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        (x,) = inputs
        p = self.steps(arrays, self.input_quantizer.exact(arrays, x)).normalized
        y = self.exact_shifted(arrays, arrays.reshape(p, arrays.shape(x)))
        result: A = y if self.output_quantizer is None else self.output_quantizer.exact(arrays, y)
        return result

    @override
    def ebops(self) -> Tensor:
        """Return the cost of all steps, for the part of the rows that is computed at once."""
        widths, sample = Widths(), tuple(size or 1 for size in self._built_shape[1:])
        bits = keras.ops.broadcast_to(self.input_quantizer.bits(), sample)
        steps = self.steps(widths, widths.quantized(Width((1, *sample), bits), keras.ops.expand_dims(bits, 0)))
        cost = self.centering_ebops(widths, steps) + self.table.ebops()
        cost = cost + total(keras.ops.square(per_sample(steps.difference)[0]))
        cost = cost + self.reciprocal_ebops(widths, steps.squares) + _products(steps.difference, steps.root)
        normalized = widths.reshape(steps.normalized, (1, *sample))
        return self.multiplexed(cost + self.shift_ebops(widths, normalized))

    def centering_ebops(self, widths: Widths, steps: Steps[Width]) -> Tensor:
        """Return the cost of what stands before the squares; here 0."""
        return 0.0

    def shift_ebops(self, widths: Widths, normalized: Width) -> Tensor:
        """Return the cost of the products with gamma."""
        return _products(normalized, self.exact_weight(widths, "gamma")) if self.scales else 0.0

    def reciprocal_ebops(self, widths: Widths, sums: Width) -> Tensor:
        """Return the cost of dividing sums: nothing where it is a shift."""
        return _products(sums, self.constant(widths, "reciprocal")) if self.multiplies else 0.0


def _products(a: Width, b: Width) -> Tensor:
    """Return the sum of the products of the bits of two operands, over the elements of one sample."""
    left, right = per_sample(a, b, factor=True)
    return total(left * right)


def _indexing() -> Any:
    return adapted("activation", lambda config: config.indexing(VARIANCE_BITS, VARIANCE_END))
