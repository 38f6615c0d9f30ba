"""Annotations for constructor arguments: each validates, goes to and comes from a config, and has a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypedDict, TypeVar, overload

from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hgq2_core.discovery.loading import singular
from hgq2_core.errors import KindError, listing, nearest
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.quantizers.config import AnyQuantizer, QuantizerConfig
from hgq2_core.schema.base import FromList, as_text, at_path, reference, validation_error
from hgq2_core.schema.keras_objects import (
    LARGEST,
    class_by_name,
    classes_by_name,
    make,
    validate_by_construction,
)

if TYPE_CHECKING:
    from hgq2_core.quantizers.base import Quantizer

Passed = TypeVar("Passed", contravariant=True)
Stored = TypeVar("Stored", covariant=True)

EXACT_DTYPES = ("float32", "float64")
EXACT_ACTIVATIONS = ("linear", "relu")


@dataclass(frozen=True)
class KerasObject:
    """An argument that Keras resolves: a name, `{kind: name, ...}`, Keras' own serialized form, or the object.

    Args:
        group: the Keras module that resolves it, such as `initializers`.
        optional: whether None is allowed.
    """

    group: str
    optional: bool = False

    def resolve(self, value: Any) -> Any:
        """Make the Keras object.

        Args:
            value: what the user wrote; None stays None.
        """
        if isinstance(value, Mapping) and "kind" in value:
            return make(
                class_by_name(self.group, str(value["kind"])),
                {key: item for key, item in value.items() if key != "kind"},
            )
        return self._module.get(value)

    def validate(self, value: Any) -> Any:
        """Refuse what Keras cannot resolve; the value itself goes on unchanged."""
        if value is None and self.optional:
            return value
        if isinstance(value, Mapping) and "kind" in value:
            self._validate_kind(value)
        elif isinstance(value, str | Mapping):
            self._validate_name(value)
        elif not callable(value):
            raise validation_error(
                f"must be one of Keras' {self.group}: a name, a mapping with `kind`, or the object. "
                f"Received: {as_text(value)}."
            )
        return value

    def _validate_kind(self, value: Mapping[str, Any]) -> None:
        arguments = {name: item for name, item in value.items() if name != "kind"}
        with at_path():
            validate_by_construction(class_by_name(self.group, str(value["kind"])), arguments)

    def _validate_name(self, value: str | Mapping[str, Any]) -> None:
        try:
            with preserve_rng():
                found = self.resolve(value)
        except Exception as error:  # Keras trips over a damaged form in whatever way
            name = value if isinstance(value, str) else value.get("class_name")
            known = classes_by_name(self.group)
            raise validation_error(
                f"unknown {singular(self.group)}. Received: {as_text(value)}. Allowed: {listing(known)}."
                f"{nearest(name, known)}"
            ) from error
        if not callable(found):
            raise validation_error(f"must be one of Keras' {self.group}. Received: {as_text(value)}.")

    def to_config(self, value: Any) -> Any:
        """Return plain data that resolves to an equal object: Keras' own by kind, registered ones as Keras does."""
        if value is None:
            return None
        serialized = self._module.serialize(value)
        return self._short(serialized, value) or serialized

    def _short(self, serialized: Any, value: Any) -> dict[str, Any] | None:
        """Return the object by kind, without its module; None where that would not restore it."""
        if not isinstance(serialized, Mapping) or serialized["registered_name"] is not None:
            return None
        kind, config = serialized["class_name"], value.get_config()
        arguments = {
            name: list(item) if isinstance(item, tuple) else item for name, item in config.items() if item is not None
        }
        try:
            validate_by_construction(class_by_name(self.group, kind), arguments)
        except (KindError, ValidationError):  # what no config file may hold, such as an array or a seed generator
            return None
        return {"kind": kind, **arguments}

    @property
    def _module(self) -> Any:
        import keras

        return getattr(keras, self.group)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        nothing = [{"type": "null"}] if self.optional else []
        named = {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}
        return {"anyOf": [{"type": "string"}, named, *nothing], "description": f"One of Keras' {self.group}."}


@dataclass(frozen=True)
class ExactActivation(KerasObject):
    """The activation inside a layer: only those whose arithmetic is exact without a table."""

    group: str = "activations"
    optional: bool = True

    @override
    def validate(self, value: Any) -> Any:
        """Take `linear` (None) and `relu`, by name or as Keras' functions."""
        if value is None:
            return value
        name = value if isinstance(value, str) else getattr(value, "__name__", None)
        if name not in EXACT_ACTIVATIONS or (callable(value) and value is not self.resolve(name)):
            raise validation_error(
                f"the activation inside a quantized layer is one that needs no table. Received: {as_text(value)}. "
                f"Allowed: {listing(EXACT_ACTIVATIONS)}.{nearest(name, EXACT_ACTIVATIONS)} "
                "For another one, keep the layer linear and put unary_function (QUnaryFunction), a table, after it."
            )
        return value

    @override
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": [*EXACT_ACTIVATIONS, None]}


class QuantizerSlot:
    """Marks a quantizer argument, so that a layer knows its slots."""

    def resolve(self, value: Any) -> QuantizerConfig | None:
        """Return the config, of which `QLayer.add_quantizer` makes the quantizer; None stays None."""
        return None if value is None else _any_quantizer.validate_python(value)

    def to_config(self, value: Quantizer[Any] | None) -> Any:
        """Return the complete config of the quantizer that the layer made."""
        return None if value is None else value.config.to_dict()


class QuantizerSlots(QuantizerSlot):
    """Marks an argument of several slots: one quantizer for all, or a list with one for each, None for its default."""

    @override
    def resolve(self, value: Any) -> Any:
        """Return the config, or a tuple of them."""
        return tuple(map(super().resolve, value)) if isinstance(value, list | tuple) else super().resolve(value)

    def validate(self, value: Any) -> Any:
        """Check a quantizer, or each of a list."""
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            return _any_quantizer.validate_python(value)
        if not value:
            raise validation_error(
                f"must be a quantizer or a list of them, one for each slot. Received: {as_text(value)}."
            )
        found = []
        for number, each in enumerate(value):
            with at_path(number):
                found.append(None if each is None else _any_quantizer.validate_python(each))
        return tuple(found)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one = {"anyOf": [reference("quantizer"), {"type": "null"}]}
        return {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}


class VariableValue:
    """Marks a number that the layer keeps as a variable."""

    def to_config(self, value: Any) -> float:
        """Return the variable's present value."""
        import keras

        return float(keras.ops.convert_to_numpy(value))


class Policy:
    """Marks Keras' dtype argument: a name, or a policy."""

    def validate(self, value: Any) -> Any:
        """Refuse what Keras knows no policy for, and policies that compute in fewer bits than exact sums need."""
        problem = None if value is None else self.problem(value)
        if problem:
            raise validation_error(problem)
        return value

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a policy or its name; None if nothing is."""
        import keras

        close = ""
        try:
            policy = keras.dtype_policies.get(value)
            exact = policy.compute_dtype in EXACT_DTYPES and policy.variable_dtype == policy.compute_dtype
        except Exception:  # Keras checks little, and trips over the rest in whatever way
            exact, close = False, nearest(value, EXACT_DTYPES)  # a policy that Keras knows is no misspelling
        if exact:
            return None
        return (
            f"quantized layers compute in floats that hold exact sums. Received: {as_text(value)}. "
            f"Allowed: {listing(EXACT_DTYPES)}.{close}"
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": [*EXACT_DTYPES, None]}


_any_quantizer: TypeAdapter[QuantizerConfig] = TypeAdapter(AnyQuantizer)

INITIALIZERS = KerasObject("initializers")
REGULARIZERS = KerasObject("regularizers", optional=True)
CONSTRAINTS = KerasObject("constraints", optional=True)
ACTIVATIONS = ExactActivation()
POLICY = Policy()

InitializerArg = Annotated[Any, INITIALIZERS]
RegularizerArg = Annotated[Any, REGULARIZERS]
ConstraintArg = Annotated[Any, CONSTRAINTS]
ActivationArg = Annotated[Any, ACTIVATIONS]
if TYPE_CHECKING:  # a kind, a config or None is passed, and a quantizer kept
    QuantizerArg = Annotated[Any, QuantizerSlot()]
else:
    QuantizerArg = Annotated[AnyQuantizer | None, QuantizerSlot()]
QuantizersArg = Annotated[Any, QuantizerSlots()]
BetaArg = Annotated[Annotated[float, Field(ge=0)] | None, VariableValue()]
DTypeArg = Annotated[Any, POLICY]
PositiveInt = Annotated[int, Field(gt=0, le=LARGEST)]
Shape = Annotated[tuple[PositiveInt | None, ...], FromList]


if TYPE_CHECKING:

    class Arg(Generic[Passed, Stored]):
        """A field for a type checker: what the constructor takes, and what the layer has."""

        @overload
        def __get__(self, layer: None, owner: Any) -> Any: ...
        @overload
        def __get__(self, layer: object, owner: Any) -> Stored: ...
        def __get__(self, layer: Any, owner: Any) -> Any: ...
        def __set__(self, layer: object, value: Passed) -> None: ...

    NameField = Arg[str | None, str]
    BetaField = Arg[float | None, Any]
else:
    NameField, BetaField = str | None, BetaArg


def default(value: Any) -> Any:
    """Return a default as it is passed, which is not of the type that the field has."""
    return value


class LayerKwargs(TypedDict, total=False):
    """Keras' own constructor words, which every layer takes."""

    name: str | None
    dtype: DTypeArg
    trainable: bool | None
    activity_regularizer: RegularizerArg


__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "INITIALIZERS",
    "POLICY",
    "REGULARIZERS",
    "ActivationArg",
    "BetaArg",
    "ConstraintArg",
    "InitializerArg",
    "KerasObject",
    "LayerKwargs",
    "PositiveInt",
    "QuantizerArg",
    "QuantizerConfig",
    "QuantizerSlot",
    "QuantizerSlots",
    "QuantizersArg",
    "RegularizerArg",
    "Shape",
    "VariableValue",
]
