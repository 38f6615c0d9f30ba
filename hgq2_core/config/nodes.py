"""The nodes of a model's graph: a layer of a kind, an earlier layer again, or a nested model; checked one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hgq2_core.config.specs import Kinds, ObjectSpec, check_name, construct
from hgq2_core.schema.base import as_text, at_path, reference, unknown, validation_errors
from hgq2_core.schema.keras_layers import snake

if TYPE_CHECKING:
    from hgq2_core.config.graph import ModelSection


@dataclass(frozen=True)
class Node(ABC):
    """One node of a model's graph.

    Args:
        name: name of its output; None for the default name.
        inputs: names of the inputs and nodes whose outputs it takes; None for the previous node.
    """

    name: str | None
    inputs: tuple[str, ...] | None

    @property
    @abstractmethod
    def default_name(self) -> str:
        """The name of a node that is not given one."""

    @property
    def reuses(self) -> str | None:
        """The name of the earlier node whose layer this one applies again; None if it has its own layer."""
        return None

    def applications(self, before: Mapping[str, int]) -> int:
        """Return the number of layers that it applies.

        Args:
            before: the same number for each earlier node, by name.
        """
        return 1 if self.reuses is None else before[self.reuses]

    @abstractmethod
    def make(self, name: str, made: Mapping[str, Any], seed: int) -> Any:
        """Return the layer to apply.

        Args:
            name: name of the node.
            made: the layers of earlier nodes, by name.
            seed: seed of a nested model.
        """

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Return the node as plain data, without name and inputs."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the kind, then name and inputs, then the rest."""
        place = {"name": self.name, "inputs": None if self.inputs is None else list(self.inputs)}
        (key, value), *rest = self.content().items()
        return {key: value, **{key: value for key, value in place.items() if value is not None}, **dict(rest)}


@dataclass(frozen=True)
class LayerNode(Node):
    """A layer of a kind."""

    spec: ObjectSpec

    @property
    @override
    def default_name(self) -> str:
        """Its kind, without the prefix."""
        return snake(self.spec.kind.rpartition(".")[2])

    @override
    def make(self, name: str, made: Mapping[str, Any], seed: int) -> Any:
        return construct("layers", self.spec, name=name)

    @override
    def content(self) -> dict[str, Any]:
        return self.spec.to_dict()


@dataclass(frozen=True)
class SharedNode(Node):
    """Another application of an earlier layer: the same weights, and one more circuit."""

    layer: str

    @property
    @override
    def default_name(self) -> str:
        return self.layer

    @property
    @override
    def reuses(self) -> str:
        return self.layer

    @override
    def make(self, name: str, made: Mapping[str, Any], seed: int) -> Any:
        """Return the layer of the earlier node."""
        return made[self.layer]

    @override
    def content(self) -> dict[str, Any]:
        return {"layer": self.layer}


@dataclass(frozen=True)
class ModelNode(Node):
    """A nested model."""

    model: ModelSection

    @override
    def applications(self, before: Mapping[str, int]) -> int:
        """Return the number of layers that the nested model applies."""
        return self.model.applications

    @property
    @override
    def default_name(self) -> str:
        """The name of the nested model, or `model`."""
        return self.model.name or "model"

    @override
    def make(self, name: str, made: Mapping[str, Any], seed: int) -> Any:
        return self.model.build(seed, name)

    @override
    def content(self) -> dict[str, Any]:
        """Return the nested model."""
        return {"model": self.model.model_dump(mode="json", exclude_unset=True)}


class Nodes:
    """Annotation that validates a node.

    Args:
        section: returns the class of nested models, which contain nodes themselves.
    """

    def __init__(self, section: Callable[[], type[ModelSection]]) -> None:
        self.section = section
        self.kinds = LayerKinds("layers")

    def validate(self, value: Any) -> Node:
        """Return the node that a value describes, after checking it."""
        if isinstance(value, Node):
            return value
        if isinstance(value, Mapping) and "kind" not in value:
            for key, read in (("layer", self._shared), ("model", self._model)):
                if key in value:
                    unexpected = [name for name in value if name not in (key, "name", "inputs")]
                    if unexpected:
                        raise validation_errors(((), unknown(name, (key, "name", "inputs"))) for name in unexpected)
                    return read(value[key], *_name_and_inputs(value))
        kind, arguments = self.kinds.split(value)
        name_and_inputs = _name_and_inputs(arguments)
        rest = {name: item for name, item in arguments.items() if name not in ("name", "inputs")}
        return LayerNode(*name_and_inputs, ObjectSpec(*self.kinds.check(kind, rest)))

    def _shared(self, layer: Any, name: str | None, inputs: tuple[str, ...] | None) -> Node:
        with at_path("layer"):
            return SharedNode(name, inputs, check_name(layer))

    def _model(self, model: Any, name: str | None, inputs: tuple[str, ...] | None) -> Node:
        with at_path("model"):
            section = self.section().model_validate(model)
        if section.outputs is not None and len(section.outputs) > 1:
            message = f"a model inside a model has one output. Received: {list(section.outputs)}."
            raise validation_errors([(("model", "outputs"), message)])
        return ModelNode(name, inputs, section)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda node: node.to_dict())
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return reference("layer")


class LayerKinds(Kinds):
    """The kinds of layers."""

    @override
    def construct(self, cls: type, arguments: Mapping[str, Any]) -> None:
        """Do nothing: a layer is made when the model is built, under the defaults of the config."""


def _name_and_inputs(node: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...] | None]:
    name, inputs = node.get("name"), node.get("inputs")
    if name is not None:
        with at_path("name"):
            check_name(name)
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if inputs is not None and not (
        isinstance(inputs, list | tuple) and inputs and all(isinstance(item, str) for item in inputs)
    ):
        raise validation_errors([(("inputs",), f"must be a list of names, one at least. Received: {as_text(inputs)}.")])
    return name, None if inputs is None else tuple(inputs)
