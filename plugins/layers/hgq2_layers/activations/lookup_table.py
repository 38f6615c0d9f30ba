"""Lookup tables: a function of quantized inputs, kept as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ExactnessError, QLayer, Quantizer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Widths
from hgq2_core.ops import LAYOUTS, Tensor, table_index, take_rows, total
from hgq2_core.quantizers.call import present_call
from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_core.quantizers.defaults import adapted, resolve, scoped
from hgq2_core.quantizers.ranges import DynamicRange

A = TypeVar("A")
Floats = npt.NDArray[np.float64]

MAX_ENTRIES = 2**16
"""Entries of one table; hardware wants far fewer."""

MAX_LAYER_ENTRIES = 2**24
"""Entries of all tables that belong together."""

PART, LEAST_PART = 2**10, 2**6
"""Entries that are computed at once for the range of a table that is not frozen; points of them at least."""

ENTRY_EBOPS = 1e-4
"""What one bit of one entry costs (docs/numerics.md#7)."""


class LookupTable:
    """table = oq(f(q)), q being what an input quantizer gives: trained as a function, deployed as a finite table.

    A part of a `TableLayer`, made by its `add_table`. Not frozen, it computes the function, with gradients. Frozen, it
    looks up entries that were computed once, for every value that the input quantizer may give. `exact` looks up the
    same entries.

    Args:
        layer: the layer that owns it.
        name: the slot of the table's quantizer, under which the layer stores the entries.
        input_quantizer: its values are the inputs; the layer applies it.
        quantizer: of the entries.
        function: of a tensor `(..., *own)` of inputs; gives a tensor `(..., *own, *more)`. See `build`.
        wide_function: the same function of a float64 array, for the entries of the frozen form; None computes these
            as tensors too.
    """

    def __init__(
        self,
        layer: QLayer,
        name: str,
        input_quantizer: Quantizer[Any],
        quantizer: Quantizer[Any],
        function: Callable[[Tensor], Tensor],
        wide_function: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self.layer = layer
        self.name = name
        self.input_quantizer = input_quantizer
        self.quantizer = quantizer
        self.function = function
        self.wide_function = wide_function
        self.own: tuple[int, ...] = ()
        self.more: tuple[int, ...] = ()

    def build(self, own: tuple[int, ...] = (), more: tuple[int, ...] = ()) -> None:
        """Build the table's quantizer, whose first axis counts entries; the owner calls it in its own `build`.

        Args:
            own: sizes of the trailing axes of the input whose elements have a table of their own; none where all
                share one.
            more: sizes of the axes that the function adds.
        """
        self.own, self.more = own, more
        self.quantizer.build((None, *own, *more))

    @property
    def grid_name(self) -> str:
        """The name under which the layer stores the inputs at which there are entries."""
        return f"{self.name}_inputs"

    def points(self) -> Tensor:
        """Return the inputs at which there are entries, rising."""
        return keras.ops.convert_to_tensor(self.input_quantizer.grid(self.most), dtype=self.layer.compute_dtype)

    @property
    def most(self) -> int:
        """How many entries the table may have."""
        return min(MAX_ENTRIES, MAX_LAYER_ENTRIES // (math.prod(self.own) * math.prod(self.more)))

    def folded(self) -> Tensor:
        """Return the entries before they are quantized: (entries, *own, *more)."""
        if self.wide_function is None:
            return self._entries(self.points())
        entries = self.wide_function(self.input_quantizer.grid(self.most))
        return keras.ops.convert_to_tensor(entries, dtype=self.layer.compute_dtype)

    def _entries(self, points: Tensor) -> Tensor:
        shape = tuple(points.shape)
        grid = keras.ops.reshape(points, shape + (1,) * len(self.own))
        return self.function(keras.ops.broadcast_to(grid, shape + self.own))

    def __call__(self, q: Tensor, training: bool = False, function: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the quantized function of quantized inputs: computed, or looked up if the layer is frozen.

        Args:
            q: what the input quantizer gave.
            training: as in `Quantizer.quantize`.
            function: in training, what to compute in place of the table's own function, such as one with statistics of
                the batch.
        """
        return self._look_up(q) if self.layer.frozen else self._compute(q, training, function or self.function)

    def _compute(self, q: Tensor, training: bool, function: Callable[[Tensor], Tensor]) -> Tensor:
        values = function(q)
        flat = keras.ops.reshape(values, (-1, *self.own, *self.more))
        if training or not isinstance(self.quantizer.range, DynamicRange):
            quantized = self.quantizer.quantize(flat, training)
        else:
            # The range is that of the table, not of the entries that this batch happens to ask for.
            extremes = self._extremes(flat)
            quantized = self.quantizer.quantize(keras.ops.concatenate([*extremes, flat]))[len(extremes) :]
        return keras.ops.reshape(quantized, keras.ops.shape(values))

    def _extremes(self, values: Tensor) -> list[Tensor]:
        """Return the least and the largest entries, each (1, *own, *more); nothing where the inputs are too many.

        In parts of the grid, and with tensors alone, so that a compiled function computes it too.

        Args:
            values: (..., *own, *more), of the table.
        """
        part = self._part(keras.ops.zeros(()))
        if part is None:
            return []
        least = keras.ops.stop_gradient(keras.ops.min(values, axis=0, keepdims=True))
        largest = keras.ops.stop_gradient(keras.ops.max(values, axis=0, keepdims=True))
        # More points than a table may have: such a model cannot be frozen, and its range is that of the values.
        count = keras.ops.where(part[1] > float(self.most), 0.0, part[1])

        def widen(first: Tensor, least: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            points, _ = cast(tuple[Tensor, Tensor], self._part(first))
            entries = keras.ops.stop_gradient(self._entries(keras.ops.cast(points, self.layer.compute_dtype)))
            least = keras.ops.minimum(least, keras.ops.min(entries, axis=0, keepdims=True))
            largest = keras.ops.maximum(largest, keras.ops.max(entries, axis=0, keepdims=True))
            return first + points.shape[0], least, largest

        start = (keras.ops.zeros(()), least, largest)
        _, least, largest = keras.ops.while_loop(lambda first, *_: first < count, widen, start)
        return [keras.ops.stop_gradient(least), keras.ops.stop_gradient(largest)]

    def _part(self, first: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the inputs from the given one on, as many as are computed at once; see `Quantizer.grid_part`."""
        size = max(LEAST_PART, PART // (math.prod(self.own) * math.prod(self.more)))
        return self.input_quantizer.grid_part(first, size)

    def _look_up(self, q: Tensor) -> Tensor:
        stored = self.layer.stored()
        points, entries = (keras.ops.convert_to_tensor(stored[name]) for name in (self.grid_name, self.name))
        tables, more = math.prod(self.own), tuple(self.more)
        index = self._index(q, points)
        if tables > 1:
            which = keras.ops.arange(tables, dtype=index.dtype)
            index = index * tables + keras.ops.reshape(which, self.own)
        rows = keras.ops.reshape(entries, (-1, *more))
        # NaN has an index of its own, behind the last point.
        return take_rows(keras.ops.concatenate([rows, keras.ops.full((tables, *more), math.nan, rows.dtype)]), index)

    def _index(self, q: Tensor, points: Tensor) -> Tensor:
        """Return the index of the point that each input is; the number of points for NaN."""
        last = points.shape[0] - 1
        if self.input_quantizer.uniform_grid and keras.backend.standardize_dtype(points.dtype) in LAYOUTS:
            # Between multiples of the step, powers of two, differences and quotients are exact.
            step = points[1] - points[0] if last else keras.ops.ones_like(points[0])
            return table_index((q - points[0]) * (1.0 / step), last)
        found = keras.ops.searchsorted(points, keras.ops.reshape(q, (-1,)))
        return table_index(keras.ops.where(keras.ops.isnan(q), q, keras.ops.reshape(found, keras.ops.shape(q))), last)

    def bits(self) -> Tensor:
        """Return the bits of an entry, (*own, *more)."""
        return self.quantizer.bits(self._all_entries() if self._decides_bits() else None)

    def _all_entries(self) -> Tensor:
        """Return the entries before they are quantized; in a call, which may be compiled, the least and the largest."""
        part = None if present_call() is None or self.layer.frozen else self._part(keras.ops.zeros(()))
        if part is None:
            return self.layer.inputs_of_quantizers()[self.name]
        return keras.ops.concatenate(self._extremes(self._entries(keras.ops.cast(part[0], self.layer.compute_dtype))))

    def _decides_bits(self) -> bool:
        """Return True if the bits depend on the entries, and no quantization in the present call has counted them."""
        if not isinstance(self.quantizer.range, DynamicRange) or self.quantizer.cost_in_call is not None:
            return False
        # Outside of a call, `grid` refuses inputs without a finite table; in a call they are allowed.
        return present_call() is None or self.input_quantizer.grid_part(keras.ops.zeros(()), LEAST_PART) is not None

    def ebops(self) -> Tensor:
        """Return 1e-4 times the sum of 2^Bin Bout over the elements of one sample (docs/numerics.md#7)."""
        entries = keras.ops.exp(math.log(2.0) * self.input_quantizer.bits())
        added = tuple(range(-len(self.more), 0))
        return ENTRY_EBOPS * total(entries * (total(self.bits(), added) if added else self.bits()))

    def exact(self, arrays: Arrays[A], q: A) -> A:
        """State the lookup.

        Args:
            arrays: integers, intervals, or hardware.
            q: what the input quantizer gave.

        Raises:
            ExactnessError: the input quantizer has changed since the layer was frozen.
        """
        if isinstance(arrays, Widths):
            shape = (*arrays.shape(q), *self.more)  # type: ignore[arg-type]
            return arrays.entries(shape, self.bits())  # type: ignore[return-value]
        stored = self.layer.stored()
        points, entries = (
            np.asarray(keras.ops.convert_to_numpy(stored[name]), dtype=np.float64)
            for name in (self.grid_name, self.name)
        )
        if not np.isin(self.input_quantizer.grid(MAX_ENTRIES), points).all():
            raise ExactnessError(
                f"{self.layer.name}.{self.name}: the lookup table has no entry for some input. Its input quantizer has "
                "changed since the model was frozen: freeze the trainable model again."
            )
        return exact_lookup(arrays, q, points, entries, self.own, self.more)


def exact_lookup(
    arrays: Arrays[A],
    q: A,
    points: Floats,
    entries: Floats,
    own: tuple[int, ...] = (),
    more: tuple[int, ...] = (),
) -> A:
    """Return the entries at the points that the inputs are.

    Intervals and circuits also ask for values that no input has: they get the entry of the next point above, or the
    last one.

    Args:
        arrays: integers, intervals, or hardware.
        q: inputs, (..., *own).
        points: the inputs at which there are entries, rising.
        entries: (points, *own, *more).
        own: axes of the input whose elements have a table of their own.
        more: axes that the entries add.
    """

    def look_up(column: Floats) -> Callable[[Floats], Floats]:
        return lambda values: column[np.minimum(np.searchsorted(points, values), len(points) - 1)]

    if not own and not more:
        return arrays.table(q, look_up(entries))
    shape = arrays.shape(q)
    lead = shape[: len(shape) - len(own)]
    inputs = arrays.reshape(q, (*lead, math.prod(own)))
    tables = entries.reshape(len(points), math.prod(own), math.prod(more))
    results = [
        arrays.table(arrays.gather(inputs, [n], len(lead)), look_up(tables[:, n, m]))
        for n in range(tables.shape[1])
        for m in range(tables.shape[2])
    ]
    return arrays.reshape(arrays.concatenate(results, len(lead)), (*lead, *own, *more))


class TableLayer(QLayer):
    """Base of layers with lookup tables, which are among the constants of their frozen form.

    A subclass calls `add_table` in `setup`, the table's `build` in its own, and the table itself in `call`,
    `ebops` and `exact`.
    """

    @override
    def setup(self) -> None:
        super().setup()
        # A plain dict in an attribute would become a tracked copy.
        self.__dict__["_tables"] = {}

    def add_table(
        self,
        quantizer: Any,
        name: str,
        input_quantizer: Quantizer[Any],
        function: Callable[[Tensor], Tensor],
        unsigned: bool = False,
        wide_function: Callable[[Floats], Floats] | None = None,
    ) -> LookupTable:
        """Make a table.

        Args:
            quantizer: of the entries: a config, a kind, a mapping, or None for the default of tables.
            name: of the slot, such as `table`.
            input_quantizer: the quantizer whose values are the table's inputs.
            function: see `LookupTable`; called eagerly too.
            unsigned: whether the function is never negative, so that the default of tables goes without a sign.
            wide_function: see `LookupTable`.
        """
        if quantizer is None and unsigned and scoped("table") is None:
            quantizer = adapted("table", lambda config: config.unsigned())
        entries = self.add_quantizer(quantizer, "table", name)
        table = LookupTable(self, name, input_quantizer, entries, function, wide_function)
        self.__dict__["_tables"][name] = table
        return table

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the entries of the tables, before they are quantized."""
        return {name: table.folded() for name, table in self.__dict__["_tables"].items()}

    @override
    def grids(self) -> Mapping[str, Tensor]:
        """Return the inputs at which the tables have entries."""
        return {table.grid_name: table.points() for table in self.__dict__["_tables"].values()}


def fitted_table(*, unsigned: bool, end: float) -> QuantizerConfig:
    """Return the default of tables with a range that follows the data and not all entries.

    For a function of which a few entries are far larger than what most data need.

    Args:
        unsigned: whether the function is never negative.
        end: a power of two at which the range ends until data are known, where all entries would decide it.
    """

    def with_sign(config: QuantizerConfig) -> QuantizerConfig:
        return config.unsigned() if unsigned else config

    default: Quantizer[Any] = resolve(None, "table").config.build(Slot("table"))
    if isinstance(default.range, DynamicRange):
        return adapted("table", lambda config: with_sign(config).saturating(end).fitted())
    return adapted("table", lambda config: with_sign(config).fitted(), keep=("scope",))
