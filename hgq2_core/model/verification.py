"""The proof that Keras computes what the hardware will: integers against the frozen model, with ==."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from rich.console import Group
from rich.table import Table
from typing_extensions import override

from hgq2_core.commands.notebook import html_of
from hgq2_core.data.batches import check_finite, read
from hgq2_core.errors import ExactnessError
from hgq2_core.exact import Integers, IntervalArray, Intervals
from hgq2_core.exact.integers import equal, from_float
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import Apply, infer, layers_of, model_inputs, run
from hgq2_core.layers.adapters import exact
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.states import CarriedStates, preserve_states, samples_per_call
from hgq2_core.model.calibration import require_calibrated
from hgq2_core.model.exact_masks import require_stated_masks
from hgq2_core.model.freezing import freeze
from hgq2_core.model.prediction import predict
from hgq2_core.optimizer import warn_of_decayed_bits

Flags = npt.NDArray[np.bool_]

FLOAT32_BITS = 24
INPUT_BITS = 62
"""Integer bits that are assumed of a model's raw inputs, which the first quantizer brings into its range."""

FLOAT32_STEP = 149
"""No float32 has a finer step than 2^-149."""


@dataclass(frozen=True)
class LayerResult:
    """How one application of a layer compares.

    Args:
        name: its place in the model.
        mismatches: outputs for which Keras and the integers differ, on Keras' own inputs.
        values: outputs compared.
        required_bits: mantissa bits with which its sums are exact in any order; None where no bound is known.
    """

    name: str
    mismatches: int
    values: int
    required_bits: int | None

    @property
    def float32_enough(self) -> bool:
        """Whether float32 computes this layer exactly in any order of summation."""
        return self.required_bits is not None and self.required_bits <= FLOAT32_BITS


@dataclass(frozen=True)
class VerifyReport:
    """The comparison of a model with its integer interpretation.

    Args:
        samples: inputs compared.
        mismatches: samples for which anything differed: a layer, the outputs end to end, or `predict`.
        layers: each application of a layer, in the order of the graph.
        end_to_end: samples whose outputs differ from the integers carried through the whole model.
        predict: samples whose outputs by `predict` differ from the integers.
        trainable: samples for which a layer of the model itself gives other outputs than its frozen form does, on the
            same inputs; not among `mismatches`, which are of what is deployed.
        differing: the layers whose outputs differ from those of their frozen form, on the same inputs.
    """

    samples: int
    mismatches: int
    layers: tuple[LayerResult, ...]
    end_to_end: int
    predict: int
    trainable: int = 0
    differing: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing differed."""
        return self.mismatches == 0

    @property
    def first_faulty(self) -> str | None:
        """The first layer whose outputs differ, on inputs that are Keras' own."""
        return next((row.name for row in self.layers if row.mismatches), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        rows = [{**asdict(row), "float32_enough": row.float32_enough} for row in self.layers]
        return {**asdict(self), "ok": self.ok, "first_faulty": self.first_faulty, "layers": rows}

    @override
    def __str__(self) -> str:
        headline, relation = ("arithmetic verified", "==") if self.ok else ("arithmetic differs", "!=")
        lines = [f"{headline}: {self.mismatches} mismatches in {self.samples} samples (integers {relation} Keras)"]
        if not self.ok:
            lines.append(f"end to end: {self.end_to_end} samples differ; predict: {self.predict}")
            lines += [
                f"{row.name}: {row.mismatches} of {row.values} values differ" for row in self.layers if row.mismatches
            ]
        if self.trainable:
            where = ", ".join(self.differing)
            lines.append(f"before freezing: {self.trainable} samples differ from the frozen form, in {where}")
        lines += [
            f"{row.name}: its sums may need {row.required_bits or 'unboundedly many'} bits, float32 has {FLOAT32_BITS}"
            for row in self.layers
            if not row.float32_enough
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = Table("layer", "outputs that differ", "of", "bits of its sums", "in float32")
        for row in self.layers:
            exact = "exact" if row.float32_enough else "may round"
            table.add_row(row.name, str(row.mismatches), str(row.values), str(row.required_bits or "unbounded"), exact)
        return html_of(Group(*str(self).splitlines(), table))


@preserve_rng()
def verify(model: keras.Model, x: Any, batch_size: int = 1024, *, steps: int | None = None) -> VerifyReport:
    """Compare a model with the integer interpretation of its frozen form, bit for bit.

    Layer by layer on Keras' own inputs, so that the first faulty layer is named; end to end from the raw inputs; and
    the outputs of `predict`. The report also says where the model itself, called without training, differs from its
    frozen form.

    Args:
        model: a calibrated model, functional or sequential, trainable or frozen.
        x: inputs in any form that `fit` takes; targets and sample weights in batches are ignored. Read once.
        batch_size: samples per call, where `x` are arrays.
        steps: the most batches to use; None for all.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ExactnessError: a layer that states no exact arithmetic, that takes a mask which Keras passes on implicitly, or
            whose sums do not fit its accumulator.
        ConfigError: `batch_size` or `steps` is no number above 0.
        DataError: data of another form, no samples, or NaN or infinite values.
    """
    warn_of_decayed_bits(model, "verify")
    require_calibrated(model, "verify")
    require_stated_masks(model)
    batch_size = samples_per_call(model, batch_size)
    parts = read(x, "verify", batch_size, steps)
    frozen = freeze(model)
    with preserve_states(*{model, frozen}, anew=True):
        return _compare(model, frozen, parts, batch_size)


def _compare(model: keras.Model, frozen: keras.Model, parts: Iterable[Any], batch_size: int) -> VerifyReport:
    needs = _needs(frozen)
    _require_accumulators(needs)
    rows, states = _Rows(_at_rest(batch_size)), _at_rest(batch_size)
    frozen_comparison = _FrozenComparison(model, frozen)
    differing: dict[str, list[Flags]] = {"layers": [], "end_to_end": [], "predict": []}
    trainable = 0
    for batch in parts:
        inputs = model_inputs(frozen, batch)
        check_finite(batch, "verify")
        with preserve_states(frozen):
            outputs = run(frozen, inputs, rows.compare)
        differing["layers"].append(rows.take_samples())
        wanted = run(frozen, [from_float(value) for value in inputs], interpret(Integers(), states))
        differing["end_to_end"].append(_differing(wanted, outputs))
        if frozen is not model:
            with preserve_states(frozen):
                trainable += frozen_comparison.count(inputs)
        differing["predict"].append(_differing(wanted, keras.tree.flatten(predict(frozen, batch))))
    differs = {name: np.concatenate(flags) for name, flags in differing.items()}
    return VerifyReport(
        samples=len(differs["layers"]),
        mismatches=int(np.logical_or.reduce(list(differs.values())).sum()),
        layers=tuple(
            LayerResult(name, *rows.counts[name], needs[name].mantissa if name in needs else None)
            for name in rows.counts
        ),
        end_to_end=int(differs["end_to_end"].sum()),
        predict=int(differs["predict"].sum()),
        trainable=trainable,
        differing=tuple(frozen_comparison.differing),
    )


@dataclass(frozen=True)
class _Needs:
    """The bits that the arithmetic of a layer needs, the most of its calls, and what it may take.

    Args:
        mantissa: with which its sums are exact in any order.
        sums: of an accumulator that none of them overflows, the sign included.
        allowed: the accumulator's bits; None for no limit.
    """

    mantissa: int = 0
    sums: int = 0
    allowed: int | None = None


def _require_accumulators(needs: Mapping[str, _Needs]) -> None:
    for path, need in needs.items():
        if need.allowed is not None and need.sums > need.allowed:
            raise ExactnessError(
                f"{path}: its sums may need {need.sums} bits, sign included. Allowed: {need.allowed}, its "
                "accumulator_bits. A bias leaves the weights no room: give its quantizer fewer integer bits, or the "
                "accumulator more bits."
            )


def required_bits(
    model: keras.Model, on_inexact: Callable[[str, ExactnessError | NotImplementedError], Any] | None = None
) -> dict[str, int]:
    """Bound, by intervals, the mantissa bits that each layer's sums need to be exact in any order.

    Args:
        model: functional or sequential.
        on_inexact: called with the place of a layer that states no exact arithmetic, and its error; gives the intervals
            to go on with. None lets the error through.

    Returns:
        Bits by the layer's place in the model; a layer that no interval reaches is left out.

    Raises:
        ExactnessError: a layer that states no exact arithmetic, where nothing is to be done `on_inexact`.
    """
    return {path: need.mantissa for path, need in _needs(model, on_inexact).items()}


def _needs(
    model: keras.Model, on_inexact: Callable[[str, ExactnessError | NotImplementedError], Any] | None = None
) -> dict[str, _Needs]:
    intervals, states = Intervals(), CarriedStates(unknown)
    needs: dict[str, _Needs] = {}

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        intervals.reset()
        try:
            outputs = exact(intervals, layer, path, args, kwargs, states)
        except (ExactnessError, NotImplementedError) as error:
            if on_inexact is None:
                raise
            return on_inexact(path, error)
        before = needs.get(path, _Needs())
        needs[path] = _Needs(
            max(before.mantissa, intervals.required_bits),
            max(before.sums, intervals.sum_bits),
            layer.sum_bits if isinstance(layer, QLayer) else None,
        )
        return outputs

    run(model, [_bounds(tensor) for tensor in model.inputs], apply)
    return needs


def _bounds(tensor: Any) -> IntervalArray:
    shape = (1, *(size or 1 for size in tensor.shape[1:]))
    if tensor.dtype == "bool":
        return Intervals().input(0, 1, 0, shape)
    if "int" in tensor.dtype:
        signed = not tensor.dtype.startswith("u")
        return Intervals().input(int(signed), np.iinfo(tensor.dtype).bits - signed, 0, shape)
    return unknown(tensor.shape[1:])


def unknown(shape: Sequence[int | None]) -> IntervalArray:
    """Return the interval of a model's raw inputs, whose range nothing bounds.

    Args:
        shape: without the batch.
    """
    bound = np.full((1, *(size or 1 for size in shape)), math.ldexp(1.0, INPUT_BITS))
    return Intervals().between(-bound, bound, FLOAT32_STEP)


def interpret(arrays: Any, states: CarriedStates[Any] | None = None) -> Apply:
    """Return what runs a model's graph by exact statements.

    Args:
        arrays: integers, intervals, or hardware.
        states: of layers that keep some, carried from call to call; None begins at 0.
    """
    return lambda layer, path, args, kwargs: exact(arrays, layer, path, args, kwargs, states)


def _at_rest(samples: int) -> CarriedStates[Any]:
    return CarriedStates(lambda shape: from_float(np.zeros((samples, *shape))))


def _differing(wanted: list[Any], got: list[Any]) -> Flags:
    differing = [~equal(integers, _numpy(value)) for integers, value in zip(wanted, got, strict=True)]
    return _any_of([_per_sample(each) for each in differing])


@dataclass
class _Rows:
    """The comparison layer by layer, collected while Keras runs the graph."""

    states: CarriedStates[Any]
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    samples: list[Flags] = field(default_factory=list)

    def compare(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outputs = infer(layer, args, kwargs)
        wanted = keras.tree.flatten(exact(Integers(), layer, path, args, kwargs, self.states))
        for integers, given in zip(wanted, keras.tree.flatten(outputs), strict=True):
            differs = ~equal(integers, _numpy(given))
            mismatches, values = self.counts.get(path, (0, 0))
            self.counts[path] = mismatches + int(differs.sum()), values + differs.size
            self.samples.append(_per_sample(differs))
        return outputs

    def take_samples(self) -> Flags:
        samples = _any_of(self.samples)
        self.samples.clear()
        return samples


class _FrozenComparison:
    """The layers of a model beside those of its frozen form, called on the same inputs."""

    def __init__(self, model: keras.Model, frozen: keras.Model) -> None:
        self.model = model
        # A nested frozen layer has the sublayers of its source: in order, as `freeze` pairs them.
        self.frozen = dict(zip(layers_of(model), layers_of(frozen), strict=True)) if frozen is not model else {}
        self.differing: dict[str, None] = {}
        self.samples: list[Flags] = []

    def count(self, inputs: list[Any]) -> int:
        """Return for how many samples anything differs."""
        run(self.model, inputs, self._compare)
        samples = _any_of(self.samples)
        self.samples.clear()
        return int(samples.sum())

    def _compare(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wanted = infer(self.frozen.get(layer, layer), args, kwargs)
        outputs = infer(layer, args, kwargs)
        for one, other in zip(keras.tree.flatten(outputs), keras.tree.flatten(wanted), strict=True):
            one, other = _numpy(one), _numpy(other)
            differs = (one != other) & ~((one != one) & (other != other))
            if differs.any():
                self.differing[path] = None
            self.samples.append(_per_sample(differs))
        return wanted


def _per_sample(differs: Flags) -> Flags:
    return np.asarray(differs.reshape(len(differs), -1).any(axis=1))


def _any_of(flags: list[Flags]) -> Flags:
    return np.asarray(np.logical_or.reduce(flags))


def _numpy(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))
