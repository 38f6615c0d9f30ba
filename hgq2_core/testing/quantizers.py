"""The rules for quantizers: their configs and their values."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ConformanceError, ExactnessError
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import equal, from_float, to_float
from hgq2_core.quantizers.base import MOST_VALUES, Quantizer
from hgq2_core.quantizers.bit_variables import has_room, is_bit_variable
from hgq2_core.quantizers.config import QuantizerConfig, Registered, Role, Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_core.quantizers.ranges import ObservedRange
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import (
    Check,
    Floats,
    checks,
    described,
    differing,
    gradients_of,
    leaves_present_names,
    numpy,
    require,
    run,
    samples,
    strict,
    unreached,
    without_backend,
)

SAMPLES = 200
ROLES: tuple[Role, ...] = ("weight", "activation")
PASSES = 3
"""Calibration passes, after which a range that determines its own step has converged."""


def check_quantizer(config: QuantizerConfig, shape: tuple[int, ...] = (6, 4), imports: bool = True) -> None:
    """Check that a quantizer keeps the rules that layers, files, reports and exporters rely on.

    Args:
        config: config of the quantizer, from an installed plugin.
        shape: shape of a weight, and of an activation without the batch axis.
        imports: whether to check, in a subprocess, that the config's module imports no backend; takes a second.

    Raises:
        ConformanceError: rules are broken; the message has a line for each.

    Example:
        >>> check_quantizer(KBI(b=6, overflow_mode="WRAP"))
    """
    kind = registry().kind_of("quantizers", type(config)) or type(config).__name__
    run(kind, quantizer_checks(config, shape, imports))


def quantizer_checks(config: QuantizerConfig, shape: tuple[int, ...] = (6, 4), imports: bool = True) -> Iterator[Check]:
    """Return the checks of `check_quantizer` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_quantizer`.
        shape: see `check_quantizer`.
        imports: see `check_quantizer`.
    """
    subject = _Subject(config, shape)
    yield from checks((is_a_config,), subject)
    yield from checks(CONFIG_RULES, subject, after=is_a_config.__name__)
    if imports:
        yield from checks((imports_no_backend,), subject, after=is_a_config.__name__)
    yield from checks((builds,), subject, after=is_a_config.__name__)
    yield from checks(VALUE_RULES, subject, after=builds.__name__)


@dataclass(frozen=True)
class _Subject:
    config: QuantizerConfig
    shape: tuple[int, ...]

    def quantizer(self, role: Role) -> Quantizer[Any]:
        """Return the quantizer, built; observed ranges are calibrated on the samples."""
        quantizer = self.config.build(Slot(role, "checked", channel_axes=(-1,)))
        require(isinstance(quantizer, Quantizer), f"build() gave {quantizer!r}.")
        quantizer.build((None, *self.shape) if role == "activation" else self.shape)
        if isinstance(quantizer.range, ObservedRange):
            quantizer.range.reset()
            for _ in range(PASSES):
                with calibrating():
                    quantizer.quantize(keras.ops.convert_to_tensor(self.values(role)))
        return quantizer

    def values(self, role: Role) -> Floats:
        """Return values for a slot of this role."""
        return samples(SAMPLES, *self.shape) if role == "activation" else samples(*self.shape)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the config, unconverted."""
        return {name: getattr(self.config, name) for name in type(self.config).model_fields}


def _quantized(quantizer: Quantizer[Any], values: Any) -> Any:
    return numpy(quantizer.quantize(keras.ops.convert_to_tensor(values)))


def is_a_config(subject: _Subject) -> None:
    """A config is a QuantizerConfig that defines build()."""
    problem = PROTOCOLS["quantizers"](type(subject.config))
    require(not problem, f"{type(subject.config).__name__} {problem}")


def is_frozen(subject: _Subject) -> None:
    """A config cannot be changed."""
    for name, value in subject.fields().items():
        try:
            setattr(subject.config, name, value)
        except ValueError:
            continue
        raise ConformanceError(f"{name} could be set.")


def is_strict(subject: _Subject) -> None:
    """A config refuses unknown fields, text for numbers, and NaN."""
    strict(type(subject.config), subject.fields())


def round_trips(subject: _Subject) -> None:
    """A config becomes plain data, from which an equal config is made."""
    data = subject.config.to_dict()
    back = Registered().validate(json.loads(json.dumps(data)))
    require(back == subject.config, f"{data} came back as {back!r}.")


def migrates(subject: _Subject) -> None:
    """From schema version 2 on, `migrate` takes fields of every version, and leaves those in the present names."""
    leaves_present_names(type(subject.config), subject.config.model_dump(mode="json"))


def has_json_schema(subject: _Subject) -> None:
    """A config has a JSON schema with all its fields."""
    described(type(subject.config))


def imports_no_backend(subject: _Subject) -> None:
    """A config's module imports no backend."""
    without_backend(type(subject.config).__module__)


def builds(subject: _Subject) -> None:
    """build() returns a Quantizer that keeps config and slot."""
    quantizer = subject.quantizer("weight")
    require(quantizer.config == subject.config, f"Its config is {quantizer.config!r}.")
    require(quantizer.slot.name == "checked", f"Its slot is {quantizer.slot!r}.")


def keeps_shape_and_dtype(subject: _Subject) -> None:
    """quantize() keeps shape and dtype."""
    for role in ROLES:
        values = subject.values(role)
        got = _quantized(subject.quantizer(role), values)
        same = got.shape == values.shape and got.dtype == values.dtype
        require(same, f"As {role}: {values.dtype}{values.shape} became {got.dtype}{got.shape}.")


def is_idempotent(subject: _Subject) -> None:
    """Quantizing twice changes nothing."""
    for role in ROLES:
        quantizer = subject.quantizer(role)
        once = _quantized(quantizer, subject.values(role))
        found = differing(_quantized(quantizer, once), once, once)
        require(not found, f"As {role}: {found}")


def counts_bits(subject: _Subject) -> None:
    """bits() returns one count per element, never below 0."""
    for role in ROLES:
        bits = numpy(subject.quantizer(role).bits(keras.ops.convert_to_tensor(subject.values(role))))
        require(bits.shape == subject.shape, f"As {role}: its shape is {bits.shape} for elements {subject.shape}.")
        require(bits.min(initial=0) >= 0, f"As {role}: {bits.min()} bits.")


def is_exact(subject: _Subject) -> None:
    """exact() on integers equals quantize()."""
    quantizer, values = subject.quantizer("activation"), subject.values("activation")
    integers, wanted = quantizer.exact(Integers(), from_float(values)), _quantized(quantizer, values)
    if not equal(integers, wanted).all():
        raise ConformanceError(differing(to_float(integers).astype(wanted.dtype), wanted, values))


def has_variants(subject: _Subject) -> None:
    """unsigned() and the other variants of a config are configs, or are refused as one."""
    config = subject.config
    variants: dict[str, Callable[[], Any]] = {
        "unsigned": config.unsigned,
        "saturating": lambda: config.saturating(2.0),
        "fitted": config.fitted,
        "indexing": lambda: config.indexing(8, 2.0),
        **{f"with_bits, as {role}": partial(config.with_bits, 8, role) for role in ROLES},
    }
    for name, make in variants.items():
        try:
            found = make()
        except ConfigError:  # bounds of one's own may leave no room for it
            continue
        require(isinstance(found, QuantizerConfig), f"{name} gave {found!r}.")


def lists_its_grid(subject: _Subject) -> None:
    """grid() and values() list values that rise, grid() all that quantize() returns."""
    for name, found in (("values()", subject.config.values()), ("grid()", _grid(subject.quantizer("activation")))):
        require(np.all(np.diff(found) > 0), f"{name} does not rise: {list(found[:4])}.")
    quantizer = subject.quantizer("activation")
    grid = _grid(quantizer)
    if len(grid):
        unlisted = np.setdiff1d(_quantized(quantizer, subject.values("activation")), np.float32(grid))
        require(not len(unlisted), f"grid() lacks {len(unlisted)} values, such as {next(iter(unlisted), 0):g}.")


def _grid(quantizer: Quantizer[Any]) -> Any:
    """Return the grid of a quantizer; empty if it has none or a large one."""
    try:
        return quantizer.grid(MOST_VALUES)
    except ExactnessError:
        return ()


def costs_what_it_counts(subject: _Subject) -> None:
    """quantize_with_cost() returns the values of quantize(), and the bits of bits()."""
    for role in ROLES:
        quantizer, x = subject.quantizer(role), keras.ops.convert_to_tensor(subject.values(role))
        both = quantizer.quantize_with_cost(x)
        found = differing(numpy(both.values), _quantized(quantizer, x))
        require(not found, f"As {role}: {found}")
        one, other = np.broadcast_arrays(numpy(both.bits), numpy(quantizer.bits(x)))
        require((one == other).all(), f"As {role}: {one[one != other][:1]} bits in place of {other[one != other][:1]}.")


def keeps_its_span(subject: _Subject) -> None:
    """No value is larger than span() says, and all are multiples of its step."""
    for role in ROLES:
        quantizer, values = subject.quantizer(role), subject.values(role)
        span = quantizer.span(keras.ops.convert_to_tensor(values))
        if span is not None:
            got, largest, step = _quantized(quantizer, values).astype(np.float64), numpy(span.largest), numpy(span.step)
            outside = np.count_nonzero(np.abs(got) > largest)
            require(not outside, f"As {role}: {outside} of {got.size} values are larger.")
            between = np.count_nonzero(np.where(np.isfinite(step), np.mod(got, step), got))
            require(not between, f"As {role}: {between} of {got.size} values lie between.")


def knows_its_range(subject: _Subject) -> None:
    """The values of quantize() lie in the range of check_range(), if there is one."""
    for role in ROLES:
        quantizer = subject.quantizer(role)
        values = _quantized(quantizer, subject.values(role))
        check = quantizer.check_range(values)
        if check is not None:
            outside = np.broadcast_to(check.outside | (values < check.low) | (values > check.high), values.shape)
            require(not outside.any(), f"As {role}: {int(outside.sum())} of {values.size} values do not.")


def trims_what_is_unused(subject: _Subject) -> None:
    """trim() leaves quantized weights as they are, and adds no bits."""
    quantizer, values = subject.quantizer("weight"), subject.values("weight")
    x = keras.ops.convert_to_tensor(values)
    quantized, bits = _quantized(quantizer, values), numpy(quantizer.bits(x)).copy()
    quantizer.trim(x)
    found = differing(_quantized(quantizer, values), quantized, values)
    require(not found, str(found))
    more = int((numpy(quantizer.bits(x)) > bits).sum())
    require(not more, f"{more} of {bits.size} have more.")


def builds_its_base(subject: _Subject) -> None:
    """build() ends with super().build(input_shape), which adds the calibration record."""
    require(subject.quantizer("weight").has_built_base, f"{type(subject.quantizer('weight')).__name__}'s does not.")


def leaves_its_input(subject: _Subject) -> None:
    """quantize() does not change its input."""
    for role in ROLES:
        quantizer, values = subject.quantizer(role), subject.values(role)
        for training in (False, True):
            tensor = keras.ops.convert_to_tensor(values.copy())
            quantizer.quantize(tensor, training)
            found = differing(numpy(tensor), values, values)
            require(not found, f"As {role}, in its input: {found}")


def has_a_format(subject: _Subject) -> None:
    """format() returns the numbers of the format by name, for reports."""
    for role in ROLES:
        found = subject.quantizer(role).format(keras.ops.convert_to_tensor(subject.values(role)))
        require(isinstance(found, Mapping), f"As {role}: it gave {found!r}.")
        name = subject.quantizer(role).format_name()
        require(isinstance(name, str), f"As {role}: format_name() gave {name!r}.")
        for value in found.values():
            np.broadcast_to(np.asarray(value), np.broadcast_shapes(np.shape(value), subject.values(role).shape))


def passes_gradients(subject: _Subject) -> None:
    """The gradient of quantize() reaches the values, by a straight-through estimator."""
    values = keras.Variable(subject.values("weight"))
    found = unreached(lambda: keras.ops.sum(subject.quantizer("weight").quantize(values.value, True)), [values])
    require(not found, f"It is {next(iter(found.values()), '')}.")


def prices_its_bits(subject: _Subject) -> None:
    """The gradient of bits() reaches the bits, so that their cost can change them."""
    quantizer = subject.quantizer("activation")
    x = keras.ops.convert_to_tensor(subject.values("activation"))
    bits = [each for each in quantizer.variables if is_bit_variable(each)]
    # If one is fixed, it may be the only one that affects the count.
    trained = all(each.trainable for each in bits) and any(map(has_room, bits))
    if trained and numpy(quantizer.bits(x)).any():
        found = unreached(lambda: keras.ops.sum(quantizer.bits(x)), bits)
        require(len(found) < len(bits), f"It does not: {gradients_of(found)}.")


def adds_its_bits(subject: _Subject) -> None:
    """The variables that bits() counts are made by add_bits(), for bounds and a separate learning rate."""
    quantizer = subject.quantizer("activation")
    x = keras.ops.convert_to_tensor(subject.values("activation"))
    others = [each for each in quantizer.trainable_variables if not is_bit_variable(each)]
    if others:
        without = unreached(lambda: keras.ops.sum(quantizer.bits(x)), others)
        counted = [each.name for each in others if each.name not in without]
        require(not counted, f"{', '.join(counted)} comes from add_weight().")


def trains(subject: _Subject) -> None:
    """Training changes every trainable variable, unless its bounds coincide."""
    inputs = keras.Input(subject.shape)
    quantizer = subject.config.build(Slot("activation", "checked"))
    # A layer that has a gradient in any case: some backends cannot train a model without any.
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(quantizer(inputs)))
    quantizer.regularized.clear()
    quantizer.costs.clear()  # a cost would change the bits without any gradient of quantize()
    before = {variable.path: numpy(variable).copy() for variable in quantizer.trainable_variables}
    if not before:
        return
    values = samples(SAMPLES, *subject.shape, spread=True)
    targets = 2 * values.sum(axis=-1, keepdims=True)
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of variables without gradients, which the rule reports
        model.fit(values, targets, batch_size=SAMPLES, verbose=0)
    still = [
        variable
        for variable in quantizer.trainable_variables
        if has_room(variable) and np.array_equal(numpy(variable), before[variable.path])
    ]
    if still:
        found = unreached(lambda: keras.ops.mean(keras.losses.mean_squared_error(targets, model(values))), still)
        why = f" Of the gradients, {gradients_of(found)}." if found else ""
        raise ConformanceError(f"{', '.join(variable.name for variable in still)} did not change.{why}")


def is_saved(subject: _Subject) -> None:
    """A quantizer made from get_config() and the weights computes the same bits."""
    for role in ROLES:
        quantizer, values = subject.quantizer(role), subject.values(role)
        back = Quantizer.from_config(json.loads(json.dumps(quantizer.get_config())))
        back.build((None, *subject.shape) if role == "activation" else subject.shape)
        back.set_weights(quantizer.get_weights())
        found = differing(_quantized(back, values), _quantized(quantizer, values), values)
        require(not found, f"As {role}: {found}")


CONFIG_RULES = (is_frozen, is_strict, round_trips, migrates, has_json_schema)
VALUE_RULES = (
    *(builds_its_base, keeps_shape_and_dtype, leaves_its_input, is_idempotent, counts_bits, has_a_format, is_exact),
    *(has_variants, lists_its_grid, keeps_its_span, costs_what_it_counts, knows_its_range, trims_what_is_unused),
    *(passes_gradients, prices_its_bits, adds_its_bits, trains, is_saved),
)
