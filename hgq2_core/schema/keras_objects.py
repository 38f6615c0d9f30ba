"""Keras objects by name: the layers, callbacks, optimizers, losses, metrics and so on that a config may name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial, reduce
from typing import Any

from hgq2_core.discovery.loading import NAMED_GROUPS, singular
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import KindError, listing, nearest
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.schema.base import Location, as_text, at_path, unknown, validation_errors
from hgq2_core.schema.keras_callbacks import CALLBACKS
from hgq2_core.schema.keras_layers import KERAS, KERAS_LAYERS, snake
from hgq2_core.schema.signature import parameters, schema_of
from hgq2_core.schema.versions import migrated, version_entry

PREFIX = KERAS

LAYERS = tuple(layer.name for layer in KERAS_LAYERS.values() if layer.in_configs)
"""Keras layers that a config may name."""

NESTED = {"initializer": "initializers", "regularizer": "regularizers", "constraint": "constraints"}
"""Suffixes of argument names whose values are Keras objects too."""

SCHEDULES, SCHEDULE = "optimizers.schedules", "schedule"
"""The group of learning-rate schedules, and the argument of a callback that takes one by epochs."""
TAKE_SCHEDULES = ("learning_rate", SCHEDULE)
"""Arguments that may be a schedule."""

ABBREVIATIONS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "rmse": "root_mean_squared_error",
    "bce": "binary_crossentropy",
    "cce": "categorical_crossentropy",
    "acc": "accuracy",
    "kld": "kldivergence",
}
"""Words that people write for kinds, which messages lead to their names."""

LARGEST = 1 << 24
"""Limit on the sizes in a config, so that a typing error allocates no memory."""


def keras_kinds(group: str) -> tuple[str, ...]:
    """Return the kinds of a group that Keras provides; only `layers` and `callbacks` have any."""
    names = {"layers": LAYERS, "callbacks": CALLBACKS}.get(group, ())
    return tuple(f"{PREFIX}{name}" for name in names)


def is_keras_kind(kind: str) -> bool:
    """Return True if a kind has Keras' prefix."""
    return kind.startswith(PREFIX)


def keras_class(group: str, kind: str) -> type:
    """Return the Keras class of a kind such as `keras.Dropout`.

    Args:
        group: `layers` or `callbacks`.
        kind: the name with its prefix.

    Raises:
        KindError: the kind is not on the allow-list.
    """
    import keras

    allowed = keras_kinds(group)
    if kind not in allowed:
        # Without the common prefix, which would dominate the fuzzy match.
        alike = nearest(kind.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in allowed])
        raise KindError(
            f"unknown Keras {singular(group)} kind. Received: {kind!r}. Allowed: {listing(allowed)}."
            f"{nearest(kind, allowed) if alike else ''}"
        )
    return getattr(getattr(keras, group), kind.removeprefix(PREFIX))  # type: ignore[no-any-return]


def classes_by_name(group: str) -> dict[str, type]:
    """Return the public Keras classes of a module that a config may name, by their names in snake case.

    Args:
        group: the Keras module, such as `optimizers`.
    """
    import keras

    module = reduce(getattr, group.split("."), keras)
    return {
        snake(name): value
        for name, value in sorted(vars(module).items())
        if inspect.isclass(value) and not name.startswith("_") and name not in NOT_NAMED
    }


def class_by_name(group: str, kind: str) -> type:
    """Return the public Keras class of a name, in Keras' spelling or in snake case, or else the class of a plugin.

    Args:
        group: the Keras module, such as `optimizers`.
        kind: such as `adam` or `SparseCategoricalCrossentropy`, or a kind of a plugin.

    Raises:
        KindError: there is no such class.
        PluginError: it is one of a plugin that cannot be loaded.
    """
    classes = classes_by_name(group)
    for name, value in classes.items():
        if _plain(name) == _plain(kind):
            return value
    own = group.rpartition(".")[2]
    offered = registry().names(own) if own in NAMED_GROUPS else ()
    if own in NAMED_GROUPS and ("." in kind or any(name.endswith(f".{kind}") for name in offered)):
        return registry().load(own, kind)
    known = [*classes, *offered]
    raise KindError(
        f"unknown {singular(group)} kind. Received: {kind!r}. Allowed: {listing(known)}."
        f"{nearest(ABBREVIATIONS.get(kind.casefold(), kind), known)}"
    )


def is_of_keras(cls: type) -> bool:
    """Return True if a class is one of Keras, whose arguments have no types; that of a plugin has a schema."""
    return cls.__module__.partition(".")[0] == "keras"


def in_present_names(group: str, kind: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the full kind of a plugin's class with arguments in its present names, and their schema version.

    A name of Keras is returned as it is. So are the arguments, except for a schedule of a plugin among them.

    Args:
        group: the Keras module, such as `optimizers`.
        kind: a name that has a class.
        arguments: as a config has them.

    Raises:
        ConfigError: a schema version is none of the class.
        PluginError: `migrate` is missing, or fails.
    """
    cls, found = class_by_name(group, kind), dict(arguments)
    if not is_of_keras(cls):
        kind = registry().resolve(group.rpartition(".")[2], kind)
        found = {**version_entry(cls), **migrated(cls, kind, found)}
    for name, value in found.items():
        if name in TAKE_SCHEDULES and isinstance(value, Mapping) and isinstance(value.get("kind"), str):
            nested = {key: item for key, item in value.items() if key != "kind"}
            with at_path(name):
                full, nested = in_present_names(SCHEDULES, value["kind"], nested)
            found[name] = {"kind": full, **nested}
    return kind, found


def named_group(group: str) -> str:
    """Return the Keras module of a group in `NAMED_GROUPS`."""
    return SCHEDULES if group == "schedules" else group


def named_classes(name: str) -> dict[str, type]:
    """Return the classes of a name in any of the `NAMED_GROUPS`, by group.

    Args:
        name: in Keras' spelling or in snake case; `metrics.hinge` names the group too.
    """
    group, _, alone = name.rpartition(".")
    return {
        each: value
        for each in NAMED_GROUPS
        for kind, value in classes_by_name(named_group(each)).items()
        if group in ("", each) and _plain(kind) == _plain(alone)
    }


NOT_NAMED = frozenset(
    {
        *("Optimizer", "Loss", "Metric", "Initializer", "Regularizer", "Constraint", "LearningRateSchedule"),
        *("RandomInitializer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "MeanMetricWrapper"),
    }
)
"""Abstract classes, and classes that take another object, which a config cannot write as plain data."""


def make(cls: type, arguments: Mapping[str, Any], **more: Any) -> Any:
    """Construct an object of Keras, or of a plugin that stands beside those, from plain data.

    Args:
        cls: the class.
        arguments: arguments of its constructor; plain values, or mappings with a kind where Keras takes an object.
        more: additional arguments, which are not checked.

    Raises:
        ValidationError: an argument is unknown or missing, or a value is not plain data or is refused by Keras.
    """
    if not is_of_keras(cls):
        arguments = migrated(cls, cls.__name__, arguments)
    _check_arguments(cls, arguments)
    values = {name: _resolve(name, value) for name, value in arguments.items()}
    if not is_of_keras(cls):
        values |= {name: value for name, value in arguments.items() if isinstance(value, list)}
    try:
        return cls(**values, **more)
    except Exception as error:  # Keras checks little, and may fail with any error on the rest
        text = " ".join(str(error).split()) or type(error).__name__
        raise validation_errors([((), f"{cls.__name__} refuses its arguments: {text}")]) from error


def validate_by_construction(cls: type, arguments: Mapping[str, Any]) -> None:
    """Construct a Keras object and discard it, which is the only complete check of its arguments.

    Args:
        cls: the class.
        arguments: as for `make`.

    Raises:
        ValidationError: as for `make`.
    """
    # A fixed name, so that Keras' name counters do not depend on whether a config was checked.
    named = {"name": "checked"} if "name" not in arguments and _takes_name(cls) else {}
    with preserve_rng():
        make(cls, arguments, **named)


def _takes_name(cls: type) -> bool:
    """Return True if a constructor takes `name`, itself or by handing `**kwargs` on to one of Keras."""
    if is_of_keras(cls) or cls is object:
        return "name" in keras_parameters(cls)
    own = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    hands_on = any(item.kind is item.VAR_KEYWORD for item in own.values())
    return "name" in own or (hands_on and _takes_name(cls.__mro__[1]))


def keras_parameters(cls: type) -> dict[str, Any]:
    """Return the arguments of a constructor, with defaults (`inspect.Parameter.empty` if there is none).

    Args:
        cls: a class of Keras or of a plugin; `**kwargs` of a layer stand for those of `keras.layers.Layer`.
    """
    import keras

    if not is_of_keras(cls):
        return {parameter.name: parameter.default for parameter in parameters(cls).values()}
    items = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    if issubclass(cls, keras.layers.Layer) and any(item.kind is item.VAR_KEYWORD for item in items):
        # Arguments of the classes in between, such as the rank of a convolution, are set by the class itself.
        items += list(inspect.signature(keras.layers.Layer.__init__).parameters.values())[1:]
    defaults: dict[str, Any] = {}
    for item in items:
        if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY) and item.name != "autocast":
            defaults.setdefault(item.name, item.default)
    return defaults


def _check_arguments(cls: type, arguments: Mapping[str, Any]) -> None:
    taken = keras_parameters(cls)
    errors: list[tuple[Location, object]] = [
        ((), unknown(name, taken, "argument")) for name in arguments if name not in taken
    ]
    errors += [
        ((name,), "is missing.")
        for name, default in taken.items()
        if default is inspect.Parameter.empty and name not in arguments
    ]
    for name, value in arguments.items():
        errors += _not_plain(value, (name,))
    if errors:
        raise validation_errors(errors)
    if not is_of_keras(cls):
        objects = frozenset(name for name, value in arguments.items() if isinstance(value, Mapping))
        schema = schema_of(cls, objects)
        schema.model_validate({name: value for name, value in arguments.items() if name not in objects})


def _not_plain(value: Any, place: Location) -> Iterator[tuple[Location, object]]:
    if isinstance(value, Mapping):
        if not isinstance(value.get("kind"), str):
            yield place, f"a mapping here needs a `kind`. Received: {as_text(value)}."
        for name, item in value.items():
            yield from _not_plain(item, (*place, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _not_plain(item, (*place, index))
    elif isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= LARGEST:
        yield place, f"must be a number from -{LARGEST} to {LARGEST}. Received: {as_text(value)}."
    elif not isinstance(value, str | bool | int | float | None):
        yield (
            place,
            f"must be a number, a string, true, false, null or a list of those. Received: {as_text(value)}.",
        )


def _resolve(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        group = SCHEDULES if name in TAKE_SCHEDULES else NESTED.get(name.rpartition("_")[2])
        if group is None:
            raise validation_errors([((name,), f"takes no mapping. Received: {as_text(value)}.")])
        arguments = {key: item for key, item in value.items() if key != "kind"}
        with at_path(name):
            made = make(class_by_name(group, value["kind"]), arguments)
        return partial(_at_epoch, made) if name == SCHEDULE else made
    return tuple(value) if isinstance(value, list) else value


def _at_epoch(schedule: Any, epoch: int) -> float:
    """Return the learning rate of an epoch, of a schedule that Keras calls with steps."""
    return float(schedule(epoch))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
