"""The configuration of a model file: which classes it may name, and where.

Keras builds every object that a mapping with `class_name` describes, wherever it occurs. So every such mapping is
checked: layers occur only in the list of a model's layers or inside wrappers, and each place has its list of classes.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras

from hgq2_core.config.json_document import parse_json
from hgq2_core.discovery.registry import registry
from hgq2_core.discovery.saved_names import saved_kind
from hgq2_core.errors import ConfigError, ModelFileError, nearest
from hgq2_core.keras_graph.private import operation_class
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.operations import operation_names
from hgq2_core.model_file.limits import Limits
from hgq2_core.schema.keras_layers import CONVERTED_OPERATIONS, KERAS_LAYERS
from hgq2_core.schema.keras_objects import LARGEST, classes_by_name, named_group

Place = tuple[str | int, ...]
Names = Mapping[str, frozenset[str]]
"""The classes that may be built, by module."""

METRIC_SIZE = 256
"""Limit on the numbers in a metric, some of which allocate a table of that many rows and columns."""

METRIC_SIZES = {"num_thresholds": 10_000}
"""Limits on those that a metric allocates only some rows of."""

UNBOUNDED = ("seed", "shared_object_id")
"""Integers that are not sizes."""

TRUSTED = "For a file that you trust there is keras.saving.load_model."

CONTAINERS: Names = {
    "keras": frozenset({"Model", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
}
VALUES = ("__keras_tensor__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__")
"""Values in the calls of a graph that Keras describes as it does objects: tensors, arrays, and parts of keys."""

QUANTIZED = {"hgq2>QLayer": "layers", "hgq2>Quantizer": "quantizers"}
_BACKEND_OPTIMIZER = re.compile(r"keras\.src\.backend\.(torch|jax|tensorflow)\.optimizers\.\w+")


def read_config(
    data: bytes, where: str, limits: Limits, compile: bool, functions: Collection[str] = ()
) -> dict[str, Any]:
    """Return a model's configuration after checking it.

    Args:
        data: the configuration as JSON.
        where: its name, for messages.
        limits: limits on its values and objects.
        compile: whether to keep the section with optimizer, loss and metrics.
        functions: names of functions, besides those of Keras, that layers may have.

    Returns:
        The configuration, safe to build.

    Raises:
        ModelFileError: the data are not JSON, a class is not allowed at its place, or values exceed the limits.
    """
    try:
        document = parse_json(data.decode("utf-8"), where, limits.values)
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{where}: is not UTF-8. {error}") from error
    except ConfigError as error:
        raise ModelFileError(str(error)) from error
    if isinstance(document, dict) and not compile:
        document.pop("compile_config", None)
    _Check(where, limits, frozenset(functions)).model(document, ())
    return document  # type: ignore[no-any-return]


def layers_in(entry: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Yield the layers of a checked configuration that contain no other layers, at any depth, with their places."""
    inside = _layers_inside(entry)
    for path, layer in inside:
        yield from layers_in(layer, (*place, *path))
    if not inside and not _is_container(entry):
        yield place, entry


def at(where: str, place: Place) -> str:
    """Return the name of a place in a file, for messages."""
    return f"{where}: {'.'.join(map(str, place))}" if place else where


@functools.cache
def _layers() -> Names:
    modules: dict[str, set[str]] = {"keras.layers": {*KERAS_LAYERS, "InputLayer"}}
    operations = {*operation_names(), *CONVERTED_OPERATIONS, *vars(keras.activations)}
    for cls in filter(None, map(operation_class, operations)):
        modules.setdefault(cls.__module__, set()).add(cls.__name__)
    return {module: frozenset(names) for module, names in modules.items()}


@functools.cache
def _parts(*groups: str) -> Names:
    classes = {f"keras.{group}": frozenset(cls.__name__ for cls in classes_by_name(group).values()) for group in groups}
    return {**classes, "keras": frozenset({"DTypePolicy"}), "builtins": frozenset({"function"})}


def _layer_parts() -> Names:
    return _parts("initializers", "regularizers", "constraints")


def _compile_parts() -> Names:
    return _parts("optimizers", "optimizers.schedules", "losses", "metrics")


@functools.cache
def _functions() -> frozenset[str]:
    modules = (keras.activations, keras.losses, keras.metrics)
    return frozenset(name for module in modules for name, value in vars(module).items() if inspect.isfunction(value))


def _is_container(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("class_name") in CONTAINERS.get(str(entry.get("module")), ())


def _layers_inside(entry: Mapping[str, Any]) -> list[tuple[Place, Any]]:
    """Return the layers in a model or a wrapper, with their places in it."""
    config = entry["config"]
    if _is_container(entry):
        return [(("config", "layers", index), layer) for index, layer in enumerate(config["layers"])]
    found: list[tuple[Place, Any]] = []
    for name in _sublayers(entry):
        if isinstance(config.get(name), list):
            found += [(("config", name, index), layer) for index, layer in enumerate(config[name])]
        elif config.get(name) is not None:
            found.append((("config", name), config[name]))
    return found


def _sublayers(entry: Mapping[str, Any]) -> tuple[str, ...]:
    layer = KERAS_LAYERS.get(entry["class_name"]) if entry.get("module") == "keras.layers" else None
    return layer.sublayers if layer else ()


class _Check:
    def __init__(self, where: str, limits: Limits, functions: frozenset[str]) -> None:
        self.where = where
        self.functions = functions
        self.limits = limits
        self.objects_left = limits.objects

    def error(self, place: Place, problem: str) -> ModelFileError:
        return ModelFileError(f"{at(self.where, place)}: {problem}")

    def model(self, entry: Any, place: Place) -> None:
        self.named(entry, place, CONTAINERS)
        layers = entry["config"].get("layers")
        if not isinstance(layers, list):
            raise self.error((*place, "config", "layers"), "must be a list of layers.")
        self.inside(entry, place, ("layers",))

    def layer(self, entry: Any, place: Place) -> None:
        if isinstance(entry, Mapping) and entry.get("registered_name") in QUANTIZED:
            self.quantized(entry, place)
            self.inside(entry, place, ())
        else:
            self.named(entry, place, _layers())
            self.inside(entry, place, _sublayers(entry))

    def inside(self, entry: Mapping[str, Any], place: Place, fields: tuple[str, ...]) -> None:
        """Check some fields of a config as layers, and all others as values."""
        for path, layer in _layers_inside(entry) if fields else ():
            check = self.model if _is_container(layer) else self.layer
            check(layer, (*place, *path))
        rest = {name: value for name, value in entry["config"].items() if name not in fields}
        self.layer_value(rest, (*place, "config"))
        self.other_entries(entry, place)

    def other_entries(self, entry: Mapping[str, Any], place: Place) -> None:
        """Check the entries other than the class and its config."""
        for name, value in entry.items():
            if name == "compile_config":
                self.value(value, (*place, name), _compile_parts(), LARGEST)
            elif name not in ("module", "class_name", "registered_name", "config"):
                self.layer_value(value, (*place, name))

    def named(self, entry: Any, place: Place, allowed: Names) -> None:
        """Check that an object is of an allowed class, and that Keras will import it from the module that it names."""
        self.count_object(entry, place)
        name, registered = entry["class_name"], entry.get("registered_name")
        # Keras' optimizers differ by backend, and those inside a BitOptimizer are named without a module.
        module = _BACKEND_OPTIMIZER.sub("keras.optimizers", str(entry.get("module", "keras.optimizers")))
        if name not in allowed.get(module, ()) or registered not in (None, name):
            known = sorted({known for names in allowed.values() for known in names})
            received = f"module {entry.get('module')!r}, class {name!r}, registered name {registered!r}"
            raise self.error(
                place,
                f"a class that is not allowed here. Received: {received}. Allowed: {_shown(known)}."
                f"{nearest(name, known)} {TRUSTED}",
            )

    def of_plugin(self, entry: dict[str, Any], place: Place, group: str, kind: str) -> None:
        """Check that a loss, metric, optimizer or schedule of a plugin is one that is installed."""
        self.count_object(entry, place)
        cls = self.loaded(group, kind, (*place, "registered_name"))
        if entry.get("module") != cls.__module__ or entry["class_name"] != cls.__name__:
            received = f"module {entry.get('module')!r}, class {entry['class_name']!r}, kind {kind!r}"
            raise self.error(place, f"class and kind do not belong together. Received: {received}.")

    def loaded(self, group: str, kind: str, place: Place) -> type[Any]:
        """Return the class of a kind."""
        try:
            return registry().load(group, kind, at(self.where, place))
        except ConfigError as error:  # a plugin that is missing or failed raises its own cause
            raise ModelFileError(str(error)) from error

    def quantized(self, entry: Mapping[str, Any], place: Place) -> None:
        """Check that a class of a plugin is the one that the registry has for its kind."""
        self.count_object(entry, place)
        group, config = QUANTIZED[entry["registered_name"]], entry["config"]
        fields = config if group == "layers" else config.get("config")
        kind = fields.get("kind") if isinstance(fields, Mapping) else None
        cls = self.loaded(group, str(kind), (*place, "config", "kind"))
        package = cls.__module__.partition(".")[0]
        if str(entry.get("module")).partition(".")[0] != package or (group == "layers" and not issubclass(cls, QLayer)):
            received = f"module {entry.get('module')!r}, kind {kind!r}"
            raise self.error(place, f"module and kind do not belong together. Received: {received}.")

    def count_object(self, entry: Any, place: Place) -> None:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
            raise self.error(place, "must be a mapping with `class_name`.")
        if not isinstance(entry.get("config"), Mapping):
            raise self.error((*place, "config"), "must be a mapping.")
        self.spend_object(place)

    def spend_object(self, place: Place) -> None:
        self.objects_left -= 1
        if self.objects_left < 0:
            raise self.error(place, f"more than {self.limits.objects} objects.")

    def layer_value(self, value: Any, place: Place) -> None:
        """Check a value in the config of a layer."""
        self.value(value, place, _layer_parts(), self.limits.elements)

    def value(self, value: Any, place: Place, allowed: Names, largest: int) -> None:
        """Check a value, which may contain objects of the allowed classes."""
        if isinstance(value, dict):
            if "class_name" in value:
                self.part(value, place, allowed)
                largest = METRIC_SIZE if _group(value) == "metrics" else largest
            for name, item in value.items():
                in_metric = METRIC_SIZES.get(name, largest) if largest == METRIC_SIZE else largest
                self.value(item, (*place, name), allowed, in_metric)
        elif isinstance(value, list):
            self.shape(value, place, largest)
            for index, item in enumerate(value):
                self.value(item, (*place, index), allowed, largest)
        elif isinstance(value, float) and not math.isfinite(value):
            raise self.error(place, f"must be a finite number. Received: {value}.")
        elif isinstance(value, int) and abs(value) > largest and place[-1] not in UNBOUNDED:
            raise self.error(place, f"must be a number from -{largest} to {largest}. Received: {value}.")

    def part(self, entry: dict[str, Any], place: Place, allowed: Names) -> None:
        """Check an object that is not a layer."""
        name = entry["class_name"]
        if name in VALUES:
            self.spend_object(place)
        elif name == "function" and entry.get("module") == "builtins":
            self.spend_object(place)
            if entry.get("config") not in _functions() | self.functions:
                raise self.error(
                    (*place, "config"),
                    f"not a function of Keras. Received: {entry.get('config')!r}. Allowed besides those: functions of "
                    "your own that load_model(file, functions=[…]) is given.",
                )
        elif entry.get("registered_name") == "hgq2>BitOptimizer" and "keras.optimizers" in allowed:
            self.count_object(entry, place)
        elif (saved := saved_kind(entry.get("registered_name"))) and f"keras.{named_group(saved[0])}" in allowed:
            self.of_plugin(entry, place, *saved)
        else:
            self.named(entry, place, allowed)

    def shape(self, sizes: list[Any], place: Place, largest: int) -> None:
        """Check the product of a list of sizes."""
        if all(size is None or type(size) is int for size in sizes):
            elements = math.prod(abs(size) for size in sizes if size)
            if elements > largest:
                raise self.error(place, f"the shape is too large. Received: {sizes}. Allowed: {largest} elements.")


def _group(entry: Mapping[str, Any]) -> str:
    """Return the group of an object of Keras or of a plugin."""
    saved = saved_kind(entry.get("registered_name"))
    return saved[0] if saved else str(entry.get("module")).removeprefix("keras.")


def _shown(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])} and {len(names) - 10} more"
