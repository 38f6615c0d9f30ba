"""The Keras side of a quantizer: it owns the bit variables, quantizes, counts bits, and has an exact form."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.discovery.abstract import abstract_methods, require_complete
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError, listing
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths, compact
from hgq2_core.ops import Tensor, total
from hgq2_core.quantizers.bit_options import first_value, make_keras
from hgq2_core.quantizers.bit_variables import Bounds
from hgq2_core.quantizers.call import Cost, present_call
from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_core.quantizers.granularity import Sharing
from hgq2_core.quantizers.ranges import ObservedRange, Range
from hgq2_core.quantizers.results import Quantized, RangeCheck, Span
from hgq2_core.schema.versions import migrated

PACKAGE = "hgq2"
RECORD = "calibration_record"
RECORD_WORDS = 10
"""Samples, margin, and eight words of digests."""

MOST_VALUES = 2**16
"""The most values of a grid that depends on no variable, for `grid_part`."""

KERAS_ARGUMENTS = frozenset({"mode", "type_check", "config"})
"""The arguments of `keras.layers.Layer.quantize`."""

FORMER_FLAGS = ("tracks_range", "step_follows_range", "follows_values", "fits_range")
"""Attributes by which quantizers described their range before there was `Quantizer.range`."""

C = TypeVar("C", bound=QuantizerConfig)
A = TypeVar("A")


def _refusing_keras(quantize: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Refuse the call of Keras' method of the same name, which converts a layer to int8 or the like."""

    @functools.wraps(quantize)
    def guarded(self: Quantizer[Any], *args: Any, **kwargs: Any) -> Tensor:
        if (args and isinstance(args[0], str)) or (kwargs and not KERAS_ARGUMENTS.isdisjoint(kwargs)):
            mode = args[0] if args else kwargs.get("mode")
            raise ConfigError(
                f"{self.slot}: Keras' quantize() converts layers of Keras, and this one is quantized already. "
                f"Received: mode={mode!r}. Allowed: hgq2_core.quantize_model(model, rules) for the layers of Keras in "
                "a model, or Keras' quantize() with filters that leave the quantized layers out."
            )
        return quantize(self, *args, **kwargs)

    return guarded


def _as_one_step(exact: Callable[..., Any]) -> Callable[..., Any]:
    """Give the statement to the arrays as a whole; where widths are derived, it is the bits of the quantizer."""

    @functools.wraps(exact)
    def stated(self: Quantizer[Any], arrays: Any, x: Any) -> Any:
        if isinstance(arrays, Widths):
            return self.width(arrays, x)
        return arrays.quantizer(x, functools.partial(exact, self))

    return stated


@keras.saving.register_keras_serializable(PACKAGE, "Quantizer")
class Quantizer(keras.layers.Layer, Generic[C]):
    """Base of every quantizer's Keras side.

    A layer only to own its variables: call `quantize`, a plain method. All subclasses are saved under one Keras name
    plus their kind, so that a file loads wherever the kind is installed.

    A subclass, which the `build` of its config returns, defines

    * `build(input_shape)`, which adds the bit variables with `add_bits` and ends with `super().build(input_shape)`;
    * `quantize`, or `quantize_with_cost` if bits and penalty come with the values at no further cost;
    * `bits`, `exact` and `format`.

    One whose range is observed, dynamic or set by `fit_ranges` sets `range` in its constructor.
    `trim`, `grid`, `uniform_grid`, `check_range` and `format_name` may be overridden. docs/extending/quantizer.md has
    the complete files of a plugin.

    Args:
        config: the complete config.
        slot: where it sits; a weight slot where none is given.

    Raises:
        IncompleteError: when it is instantiated, a subclass that lacks one of these methods except `build`.
    """

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "quantize" in vars(cls):
            cls.quantize = _refusing_keras(cls.quantize)  # type: ignore[method-assign]
        if "exact" in vars(cls):
            cls.exact = _as_one_step(cls.exact)  # type: ignore[method-assign]
        # The name must lead back here, where the registry finds the class.
        for registered in (cls, Quantizer):
            keras.saving.register_keras_serializable(PACKAGE, "Quantizer")(registered)

    def __new__(cls, *args: Any, **kwargs: Any) -> Quantizer[Any]:
        """Undo Keras' wrapping of `quantize`, a name that its layers use for converting to int8."""
        require_complete(cls, "quantizer")
        quantizer = super().__new__(cls, *args, **kwargs)
        vars(quantizer).pop("quantize", None)
        return quantizer  # type: ignore[no-any-return]

    @classmethod
    def missing_methods(cls) -> list[str]:
        """Return the names of the methods that a class must define and does not."""
        neither = cls.quantize is Quantizer.quantize and cls.quantize_with_cost is Quantizer.quantize_with_cost
        return [*(("quantize",) if neither else ()), *abstract_methods(cls)]

    def __init__(self, config: C, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(dtype="float32", name=(slot or Slot()).layer_name, **kwargs)
        self.config = config
        self.slot = slot or Slot()
        self.range: Range | None = None
        self.record: Any = None
        self.has_built_base = False
        self.costs: list[tuple[float, keras.Variable]] = []
        self.regularized: list[tuple[Callable[[Tensor], Tensor], keras.Variable]] = []

    def sharing(self, shape: tuple[int | None, ...]) -> Sharing:
        """Return which elements of values of this shape share their bits."""
        return Sharing.of(self.config.granularity, shape, self.slot)  # type: ignore[attr-defined]

    def bit_shape(self, shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of the bit variables for values of this shape."""
        return self.sharing(shape).bits

    def add_bits(
        self,
        name: str,
        shape: tuple[int, ...],
        initial: Any,
        bounds: tuple[float, float],
        cost: Any = 0.0,
        trainable: bool = True,
        compact_shape: tuple[int, ...] | None = None,
    ) -> keras.Variable:
        """Add one bit variable.

        Args:
            name: the field's name, such as `b`.
            shape: see `bit_shape`.
            initial: its first value, in bits: a number, nested lists that broadcast to the shape, or a mapping with the
                kind of a Keras initializer, whose values are clipped to the bounds.
            bounds: kept after every step of the optimizer.
            cost: coefficient of its bits in the loss, or a mapping with the kind of a Keras regularizer.
            trainable: whether gradients move it.
            compact_shape: see `Sharing.compact_bits`; the shape of nested lists, where an axis has blocks.

        Returns:
            A float32 variable, marked for `is_bit_variable`.

        Raises:
            ConfigError: nested lists of another shape.
        """
        where = f"{self.slot}.{name}"
        first = first_value(initial, shape if compact_shape is None else compact_shape, shape, where)
        variable = self.add_weight(
            name=name,
            shape=shape,
            initializer=_clipped(first, bounds) if callable(first) else keras.initializers.Constant(first),
            dtype="float32",
            trainable=trainable,
            autocast=False,
            constraint=Bounds(*bounds) if trainable else None,
        )
        variable.is_bit_width = True
        if isinstance(cost, Mapping) and trainable:
            self.regularized.append((make_keras("regularizers", cost, f"{where}_regularizer"), variable))
        elif cost and trainable:
            self.costs.append((cost, variable))
        return variable

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the calibration record; a subclass adds its bits first, and ends with `super().build(input_shape)`.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        former = [name for name in FORMER_FLAGS if hasattr(self, name)]
        if former:
            raise ConfigError(
                f"{self.slot}: {type(self).__name__} describes its range by flags, which are no longer read. "
                f"Received: {listing(former)}. Allowed: self.range = Range(…), an ObservedRange or a DynamicRange of "
                "hgq2_core.quantizers.ranges, in __init__."
            )
        if isinstance(self.range, ObservedRange):
            self.record = self.add_weight(
                name=RECORD, shape=(RECORD_WORDS,), initializer="zeros", dtype="int32", trainable=False, autocast=False
            )
        self.has_built_base = True
        self.built = True

    @_refusing_keras
    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantize, differentiable in the values and in the bits.

        Args:
            x: values, float.
            training: whether observed ranges are updated and randomness is on.
        """
        quantized = self.quantize_with_cost(x, training)
        call = present_call()
        if call is not None:
            call.costs[self] = Cost(quantized.bits, quantized.penalty)
        return quantized.values

    def quantize_with_cost(self, x: Tensor, training: bool = False) -> Quantized:
        """Return the quantized values with their bits and penalty.

        Args:
            x: values, float.
            training: see `quantize`.
        """
        return Quantized(self.quantize(x, training), self.bits(x), self.penalty())

    @property
    def cost_in_call(self) -> Cost | None:
        """Bits and penalty of the last quantization in the present call of a layer; None before it, and elsewhere."""
        call = present_call()
        return None if call is None else call.costs.get(self)

    @abstractmethod
    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return the bits that EBOPs count, one per element (an activation's batch axis left out), never below 0.

        Args:
            x: the present values; needed only if the range is dynamic.
        """

    def penalty(self) -> Tensor | None:
        """Return the part of the loss that regularizes the bit-widths; None if there is none."""
        if not self.costs:
            return self.with_regularizers(None)
        # Keras' own regularizers would be one loss per variable, which together cost more than the quantization.
        groups: dict[float, Tensor] = {}
        for coefficient, variable in self.costs:
            bits = total(variable)
            groups[coefficient] = groups[coefficient] + bits if coefficient in groups else bits
        return self.with_regularizers(sum(coefficient * bits for coefficient, bits in groups.items()))

    def own_ebops(self) -> Tensor | None:
        """Return what quantizing costs by itself, for one sample; None, as here, for nothing."""
        return None

    def with_regularizers(self, penalty: Tensor | None) -> Tensor | None:
        """Add what Keras regularizers say of the bits to the penalty of coefficients."""
        for regularizer, variable in self.regularized:
            own = regularizer(variable.value)
            penalty = own if penalty is None else penalty + own
        return penalty

    @abstractmethod
    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the inference arithmetic.

        Args:
            arrays: integers, intervals, or hardware.
            x: the values, as an operand of `arrays`.
        """

    def width(self, widths: Widths, x: Width) -> Width:
        """Return the derived width of quantized values: the bits that EBOPs count."""
        return widths.quantized(x, compact(self.bits(), self.shared_shape_of(x.shape)))

    def shared_shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return a shape of values with 1 for each axis on which they share their bits."""
        granularity = getattr(self.config, "granularity", None)
        return shape if granularity is None else Sharing.of(granularity, shape, self.slot).per_axis

    @abstractmethod
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return the numbers of the format as numpy arrays by name, for reports."""

    def span(self, x: Tensor | None = None) -> Span | None:
        """Return what the present formats reach, for each element as in `bits`; None, as here, without a fixed grid.

        Args:
            x: the present values; needed only if the range is dynamic.
        """
        return None

    @property
    def has_span(self) -> bool:
        """Whether `span` gives one."""
        return type(self).span is not Quantizer.span

    def trim(self, x: Tensor) -> None:
        """Lower the trained bits to the fewest that quantize the given values as before; here they stay.

        Args:
            x: the values of a weight.
        """

    @property
    def shrinks(self) -> bool:
        """Whether no value ever becomes larger in magnitude; here False."""
        return False

    def grid(self, most: int) -> npt.NDArray[np.float64]:
        """Return all values that inference can return for any element, rising: the inputs of a lookup table.

        Args:
            most: the largest number of values allowed.

        Raises:
            ExactnessError: there are more, or infinitely many.
        """
        raise ExactnessError(f"{self.slot}: {type(self.config).__name__} gives no finite set of values to tabulate.")

    def grid_part(self, first: Tensor, size: int) -> tuple[Tensor, Tensor] | None:
        """Return some of the values of `grid` as tensors, for a compiled function; None if they are too many.

        This default serves a grid that depends on no variable. A quantizer whose grid does computes it with tensors.

        Args:
            first: the index of the first, a float scalar; past the end, the last value is repeated.
            size: how many.

        Returns:
            The values, and the size of the whole grid, a float scalar.
        """
        try:
            values = self.grid(MOST_VALUES)
        except ExactnessError:
            return None
        indices = keras.ops.minimum(first + keras.ops.arange(size, dtype="float32"), float(len(values) - 1))
        grid = keras.ops.convert_to_tensor(values, dtype="float32")
        return keras.ops.take(grid, keras.ops.cast(indices, "int32")), keras.ops.convert_to_tensor(float(len(values)))

    @property
    def uniform_grid(self) -> bool:
        """Whether the values of `grid` are multiples of one power of two without gaps; here False.

        Tables of such inputs are indexed by arithmetic; those of others by a search.
        """
        return False

    def format_name(self) -> str:
        """Return the name of the format, for summaries; empty, as here, if it has none."""
        return ""

    def check_range(self, x: npt.NDArray[Any]) -> RangeCheck | None:
        """Compare values with the range of the format, for `doctor`; None, as here, if the format has no range.

        Args:
            x: finite values of the shape that `quantize` takes.
        """
        return None

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Quantize as a Keras layer, for use outside a quantized layer."""
        penalty = self.penalty()
        if penalty is not None:
            self.add_loss(penalty)
        return self.quantize(x, bool(training))

    def _repr_html_(self) -> str:
        from hgq2_core.commands.notebook import html_of
        from hgq2_core.quantizers.tables import quantizer_table

        return html_of(quantizer_table(self))

    def get_config(self) -> dict[str, Any]:
        """Return kind, config and slot."""
        slot = {"role": self.slot.role, "name": self.slot.name, "layer": self.slot.layer}
        return {"config": self.config.to_dict(), "slot": {**slot, "channel_axes": list(self.slot.channel_axes)}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer[Any]:
        """Rebuild from `get_config`, the class found by its kind."""
        fields = dict(config["config"])
        kind = fields.pop("kind")
        schema = registry().load("quantizers", kind)
        slot = Slot(**{**config["slot"], "channel_axes": tuple(config["slot"]["channel_axes"])})
        return schema.model_validate(migrated(schema, kind, fields)).build(slot)  # type: ignore[no-any-return]


def _clipped(initializer: Callable[..., Tensor], bounds: tuple[float, float]) -> Callable[..., Tensor]:
    return lambda shape, dtype=None: keras.ops.clip(initializer(shape, dtype=dtype), *bounds)
