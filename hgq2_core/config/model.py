"""A whole model as data: inputs, layers, defaults, data and training; and what builds it."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import keras
from pydantic import Field, field_validator, model_validator

from hgq2_core.config.entries import LOSSES, METRICS, OPTIMIZERS, Entry, Kinds, LayerEntry, LayerKinds, Name
from hgq2_core.config.files import read_document
from hgq2_core.config.keras_names import LARGEST, is_keras_kind, keras_class, make, snake
from hgq2_core.config.overrides import overridden
from hgq2_core.config.roles import ScopeEntries, defaults
from hgq2_core.config.strict import FromList, Location, Strict, explained, findings
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.kinds import registry

if TYPE_CHECKING:
    from hgq2_core.data import Splits

Size = Annotated[int, Field(gt=0, le=LARGEST)]


class InputSpec(Strict):
    """One input of the model.

    Args:
        shape: without the batch.
        dtype: of the data.
    """

    shape: Annotated[tuple[Size | None, ...], FromList]
    dtype: Literal["float32", "float64", "int32"] = "float32"

    @field_validator("shape")
    @classmethod
    def _check_elements(cls, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if math.prod(size or 1 for size in shape) > LARGEST:
            raise ValueError(f"must have at most {LARGEST} elements. Received: {list(shape)}")
        return shape


class ModelSection(Strict):
    """Inputs by name, and layers: a chain unless one says `inputs`.

    Args:
        inputs: by name.
        layers: in an order in which each comes after those it takes from.
        outputs: names of the layers whose outputs are the model's; None for the last.
        name: of the model.
    """

    inputs: Annotated[dict[Name, InputSpec], Field(min_length=1)]
    layers: Annotated[tuple[Annotated[LayerEntry, LayerKinds()], ...], Field(min_length=1), FromList]
    outputs: Annotated[tuple[str, ...], Field(min_length=1), FromList] | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _check_graph(self) -> ModelSection:
        graph = _Graph(self)
        found = [*graph.check_layers(), *graph.check_outputs()] or [*graph.check_idle()]
        if found:
            raise findings(found)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names; one without is named by its kind, numbered where that is taken.

        Keras would number by what else the process has built.
        """
        taken = {layer.name for layer in self.layers} | set(self.inputs)
        names = []
        for layer in self.layers:
            base = snake(layer.kind.rpartition(".")[2])
            numbered = itertools.chain([base], (f"{base}_{number}" for number in itertools.count(2)))
            names.append(layer.name or next(name for name in numbered if name not in taken))
            taken.add(names[-1])
        return tuple(names)


class _Graph:
    """Checks who takes what from whom, in the order of the lines."""

    def __init__(self, section: ModelSection) -> None:
        self.section = section
        self.known: dict[str, Location] = {name: ("inputs", name) for name in section.inputs}
        self.used: set[str] = set()
        self.last = next(iter(section.inputs)) if len(section.inputs) == 1 else None

    def check_layers(self) -> Iterator[tuple[Location, str]]:
        names = self.section.names
        for index, (layer, name) in enumerate(zip(self.section.layers, names, strict=True)):
            place = ("layers", index)
            if layer.inputs is None and self.last is None:
                yield place, f"say which of {listing(self.section.inputs)} this layer takes: `inputs: [name, ...]`."
            sources = layer.inputs or (() if self.last is None else (self.last,))
            for source in sources:
                if source not in self.known:
                    later = " It comes later, or is this very layer: a model has no cycles." if source in names else ""
                    yield (*place, "inputs"), self._unknown(source, later)
            self.used.update(sources)
            self.last = name
            if self.last in self.known:
                yield (*place, "name"), f"the name is taken. Received: {self.last!r}. Names differ, inputs included."
            self.known[self.last] = place

    def check_outputs(self) -> Iterator[tuple[Location, str]]:
        outputs = self.section.outputs or ()
        for name in dict.fromkeys(outputs):
            if name not in self.known:
                yield ("outputs",), self._unknown(name)
            if outputs.count(name) > 1:
                yield ("outputs",), f"names differ. Received: {name!r} {outputs.count(name)} times."

    def check_idle(self) -> Iterator[tuple[Location, str]]:
        outputs = self.section.outputs or (self.last,)
        for name, place in self.known.items():
            if name not in self.used and name not in outputs:
                yield place, f"nothing takes {name!r}; name it in `outputs`, or in the `inputs` of a layer."

    def _unknown(self, name: str, later: str = "") -> str:
        allowed = listing(self.known)
        return f"unknown name. Received: {name!r}. Allowed: {allowed}.{later or nearest(name, self.known)}"


class Training(Strict):
    """How to train.

    Args:
        loss: a Keras loss.
        optimizer: a Keras optimizer; `bit_learning_rate_scale` gives the bit variables a larger step.
        metrics: Keras metrics.
        epochs: passes over the training data.
        batch_size: samples per step.
        checkpoint_every: epochs from one checkpoint to the next; more where writing would take over 2 % of the time.
        callbacks: of the installed plugins, or Keras' own (`keras.EarlyStopping`).
    """

    loss: Annotated[Entry, LOSSES]
    optimizer: Annotated[Entry, OPTIMIZERS] = Entry("adam", {})
    metrics: Annotated[tuple[Annotated[Entry, METRICS], ...], FromList] = ()
    epochs: Size = 10
    batch_size: Size = 32
    checkpoint_every: Size = 1
    callbacks: Annotated[tuple[Annotated[Entry, Kinds("callbacks")], ...], FromList] = ()

    def compile(self, model: keras.Model) -> None:
        """Compile a model with this optimizer, loss and these metrics."""
        from hgq2_core.optimizer import BitOptimizer

        optimizer = OPTIMIZERS.make(self.optimizer)
        scale = self.optimizer.arguments.get("bit_learning_rate_scale", 1.0)
        model.compile(
            optimizer=optimizer if scale == 1 else BitOptimizer(optimizer, scale),
            loss=LOSSES.make(self.loss),
            metrics=[METRICS.make(entry) for entry in self.metrics],
        )

    def make_callbacks(self) -> list[Any]:
        """Construct the callbacks, in order."""
        return [_make("callbacks", entry.kind, entry.arguments) for entry in self.callbacks]


class ModelConfig(Strict):
    """A model, its defaults, its data and its training, as data.

    Args:
        model: inputs and layers.
        seed: of weights, shuffling and random layers.
        defaults: see `hgq2_core.defaults`.
        data: a data set kind.
        training: how to train.
    """

    model: ModelSection
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    defaults: ScopeEntries = Field(default_factory=ScopeEntries)
    data: Annotated[Entry, Kinds("datasets")] | None = None
    training: Training | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any], where: str = "") -> ModelConfig:
        """Check plain data.

        Args:
            document: as a file holds it.
            where: the file, for messages.

        Raises:
            ConfigError: everything that is wrong, with its place.
        """
        with explained(where):
            return cls.model_validate(document)

    def build(self) -> keras.Model:
        """Build the Keras model, seeded, every slot resolved.

        What a layer draws follows from the seed and its name alone: no other layer changes its first weights.

        Raises:
            ConfigError: shapes or arguments that do not fit; names the layer.
        """
        with defaults(**{name: getattr(self.defaults, name) for name in self.defaults.model_fields_set}):
            model = _build(self.model, self.seed)
        keras.utils.set_random_seed(self.seed)
        return model

    def load_data(self) -> Splits:
        """Load and split the data set.

        Raises:
            ConfigError: the config names no data set.
        """
        if self.data is None:
            raise ConfigError("data: is missing; training needs a data set.")
        splits: Splits = _make("datasets", self.data.kind, self.data.arguments).load()
        return splits

    def to_dict(self) -> dict[str, Any]:
        """Give plain data that `parse` takes, kinds in full."""
        document: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return document


def _build(section: ModelSection, seed: int) -> keras.Model:
    tensors: dict[str, Any] = {
        name: keras.Input(spec.shape, dtype=spec.dtype, name=name) for name, spec in section.inputs.items()
    }
    inputs = list(tensors.values())
    last = next(iter(tensors))
    for index, (entry, name) in enumerate(zip(section.layers, section.names, strict=True)):
        where = f"model.layers.{index} ({name})"
        sources = [tensors[source] for source in (entry.inputs or (last,))]
        last = name
        keras.utils.set_random_seed(_layer_seed(seed, name))
        with _failing(where):
            layer = _make("layers", entry.kind, {**entry.arguments, "name": name})
        with _failing(f"{where}: cannot take inputs of shape {', '.join(str(tuple(each.shape)) for each in sources)}"):
            tensors[last] = layer(sources[0] if len(sources) == 1 else sources)
    outputs = [tensors[name] for name in (section.outputs or (last,))]
    return keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=section.name
    )


def _layer_seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "little")


def _make(sort: str, kind: str, arguments: Mapping[str, Any]) -> Any:
    arguments = copy.deepcopy(dict(arguments))
    if is_keras_kind(kind):
        with explained(kind):
            return make(keras_class(sort, kind), arguments)
    return registry().load(sort, kind)(**arguments)


@contextmanager
def _failing(where: str) -> Iterator[None]:
    """Turn what a layer says of its arguments or inputs into a ConfigError that names the layer."""
    try:
        yield
    except (ValueError, TypeError, IndexError, AssertionError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from error


def load_config(path: str | Path, settings: Iterable[str] = ()) -> ModelConfig:
    """Read and check a model's config file.

    Args:
        path: of a YAML or JSON file.
        settings: changes to it, each `PATH=VALUE`; see `hgq2_core.config.overrides`.

    Returns:
        The checked config; `.build()` makes the Keras model.

    Raises:
        ConfigError: everything that is wrong, with file, place, what was received and what is allowed.
    """
    settings = list(settings)
    where = " ".join([str(path), *(f"--set {setting}" for setting in settings)])
    return ModelConfig.parse(overridden(read_document(path), settings), where)
