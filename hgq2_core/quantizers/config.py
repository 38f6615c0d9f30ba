"""The configuration schema of a quantizer: the base of every config, and the slot in which a quantizer sits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, GetJsonSchemaHandler, SerializationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hgq2_core.discovery.abstract import abstract_methods, require_complete
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, PluginError, listing
from hgq2_core.schema.base import FromList, StrictModel, as_config_error, as_text, reference, validation_error
from hgq2_core.schema.versions import migrated, version_entry

if TYPE_CHECKING:
    from hgq2_core.quantizers.base import Quantizer

Role = Literal["weight", "bias", "activation", "table"]
ROLES: tuple[Role, ...] = get_args(Role)

Granularity = Literal["tensor", "channel", "element"] | Annotated[tuple[int, ...], FromList]
"""Which elements have bits of their own: all share, one per channel, each its own, or the axes that are not shared."""


class AxisBlocks(StrictModel):
    """Blocks of an axis, of which each has bits of its own.

    Args:
        axis: the axis; by default the last.
        block: elements of a block; their number divides the size of the axis.
    """

    axis: int = -1
    block: Annotated[int, Field(gt=0)]


class _AxisOrBlocks:
    """Annotation of an item of a granularity: an axis, or an axis with its blocks."""

    def validate(self, value: Any) -> int | AxisBlocks:
        """Take an integer or a mapping; pydantic would report both branches of a union under invented places."""
        if isinstance(value, AxisBlocks) or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, Mapping):
            return AxisBlocks.model_validate(value)
        raise validation_error(f"must be an integer, or a mapping with `axis` and `block`. Received: {as_text(value)}.")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value if isinstance(value, int) else value.model_dump()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer"}, AxisBlocks.model_json_schema()]}


BlockGranularity = (
    Literal["tensor", "channel", "element"]
    | Annotated[tuple[Annotated[int | AxisBlocks, _AxisOrBlocks()], ...], FromList]
    | AxisBlocks
)
"""As `Granularity`; an axis may also be cut into blocks, of which each has bits of its own.

A quantizer that takes it goes through `Sharing`; see `hgq2_core.quantizers.granularity`.
"""


@dataclass(frozen=True)
class Slot:
    """Where a quantizer sits.

    Args:
        role: what it quantizes; an activation's first axis is the batch, a table's counts its entries.
        name: the slot's name, such as `kernel`.
        layer: name of the layer it belongs to, for messages.
        channel_axes: the axes that `granularity="channel"` gives bits of their own.
    """

    role: Role = "weight"
    name: str = "quantizer"
    layer: str = ""
    channel_axes: tuple[int, ...] = (-1,)

    @property
    def batched(self) -> bool:
        """Whether axis 0 counts samples, or the entries of a table, which always share their bits."""
        return self.role in ("activation", "table")

    @property
    def layer_name(self) -> str:
        """Name of the quantizer as a Keras layer: no weight's name, as in HDF5 a name is a weight's or a layer's."""
        return f"{self.name}_quantizer" if self.layer else self.name

    @override
    def __str__(self) -> str:
        return f"{self.layer}.{self.name}" if self.layer else self.name


class QuantizerConfig(StrictModel):
    """Base of every quantizer's schema: frozen, strict, complete once it is in a layer.

    A plugin names its subclass in `hgq2_quantizers`. The subclass lives in a module that imports no backend and defines

    * its fields, each with bounds and a default, described in `Args:`;
    * `build`, which imports the Keras side, a `Quantizer`, and returns it.

    `unsigned`, `saturating`, `fitted`, `indexing`, `with_bits`, `facts` and `values` may be overridden. A class whose
    fields change counts `schema_version` up and defines `migrate`; see `hgq2_core.schema.versions`.
    docs/extending/quantizer.md has the complete files of a plugin.

    Raises:
        IncompleteError: when it is instantiated, a subclass without `build`.
    """

    schema_version: ClassVar[int] = 1

    def __init__(self, **fields: Any) -> None:
        with as_config_error(type(self).__name__):
            super().__init__(**fields)

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Refuse a class that lacks methods; pydantic's validation comes here as well."""
        require_complete(cls, "quantizer")
        return super().__new__(cls)

    @classmethod
    def missing_methods(cls) -> list[str]:
        """Return the names of the methods that a class must define and does not."""
        return abstract_methods(cls)

    # Keeps `model_validate`, which knows the place in the whole document, from calling it.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @abstractmethod
    def build(self, slot: Slot | None = None) -> Quantizer[Any]:
        """Make the stateful Keras quantizer.

        Args:
            slot: where it will sit; a weight slot where none is given.
        """

    def unsigned(self) -> QuantizerConfig:
        """Return the config of the same format without a sign, for values that are never negative.

        Layers ask for it where a slot is left to the default. Here the config itself, as for formats whose sign is
        part of them.
        """
        return self

    def saturating(self, end: float | None = None) -> QuantizerConfig:
        """Return the config of the same format that saturates, its range being no state that the values move.

        Layers ask for it where a slot is left to the default: inside the steps of a recurrent layer, and where a
        function grows without bound. Here the config itself, as for formats that saturate anyway.

        Args:
            end: a power of two that the range reaches up to; None leaves the range.
        """
        return self

    def fitted(self) -> QuantizerConfig:
        """Return the config of the same format whose range `hgq2_core.fit_ranges` sets from the values.

        Layers ask for it where a slot is left to the default, and only the data tell the range. Here the config itself,
        as for formats whose range is part of them.
        """
        return self

    def indexing(self, bits: int, end: float) -> QuantizerConfig:
        """Return a config for what a lookup table is indexed by: unsigned, saturating, fitted, and never wider.

        Layers ask for it where a slot is left to the default, as the table has an entry for every value. Here the
        format itself in that form, whatever its width.

        Args:
            bits: the most.
            end: a power of two that the range first reaches up to.
        """
        return self.unsigned().saturating(end).fitted()

    def with_bits(self, bits: int, role: Role) -> QuantizerConfig:
        """Return a config of a given width whose range comes from the values, for `hgq2_core.quantize_model`.

        It is asked of the role's default. Here the config itself, as for formats whose width is part of them.

        Args:
            bits: of a value, its sign included.
            role: of the slots that it will fill.
        """
        return self

    def changed(self, **fields: Any) -> Self:
        """Return the config with other values of some fields, checked; what was left unset stays so.

        Args:
            fields: the new values by name.

        Raises:
            ConfigError: a value that the schema refuses, or values that do not go together.
        """
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | fields)

    def facts(self) -> dict[str, Any]:
        """Return facts of the set of values, by name and as plain data; `hgq2 show` prints those of the defaults.

        A subclass whose set of values is worth a word overrides it: `min`, `max`, `step` (the smallest), `values` (how
        many), and what else its readers know it by.
        """
        return {}

    def values(self) -> list[float]:
        """Return every value, rising; `hgq2 show --plot` draws those of the defaults. Empty, as here, if unknown."""
        return []

    def _repr_html_(self) -> str:
        from hgq2_core.commands.notebook import html_of
        from hgq2_core.quantizers.tables import config_table

        return html_of(config_table(self))

    def to_dict(self, only_set: bool = False) -> dict[str, Any]:
        """Return the config as plain data, its full kind included.

        Args:
            only_set: leave out what was not given, and is still to be filled from scope, role or class.

        Raises:
            PluginError: no plugin offers the class. Its quantizer trains, but no file that names it could be read.
        """
        kind = registry().kind_of("quantizers", type(self))
        if kind is None:
            name = type(self).__name__
            raise PluginError(
                f"{name} cannot be saved: no installed plugin offers it, so no file could name its kind. Put it into a "
                f"module, and name it in a plugin's hgq2_quantizers: {{'{name.lower()}': 'module:{name}'}}."
            )
        arguments = self.model_dump(mode="json", exclude_unset=only_set)
        return {"kind": kind, **version_entry(type(self)), **arguments}


def check_bounds(field: str, value: float, bounds: tuple[float, float], within: tuple[float, float]) -> None:
    """Check a field with bounds, in a validator of a config.

    Args:
        field: its name, such as `b`; that of its bounds is `b_bounds`.
        value: its value.
        bounds: of the trained value, both included.
        within: what the bounds themselves may be.

    Raises:
        ValueError: the bounds are not allowed, or the value lies outside.
    """
    (lower, upper), (least, most) = bounds, within
    if not least <= lower <= upper <= most:
        raise ValueError(
            f"{field}_bounds must be a lower and an upper bound within {least} and {most}. "
            f"Received: {field}_bounds={[lower, upper]}"
        )
    if not lower <= value <= upper:
        raise ValueError(f"{field} must lie within {field}_bounds={[lower, upper]}. Received: {field}={value}")


class Registered:
    """Annotation of an open union: a value that names its kind, resolved among the quantizers installed now."""

    def validate(self, value: Any) -> QuantizerConfig:
        """Take a config, a kind, or a mapping with a kind."""
        if isinstance(value, QuantizerConfig):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping):
            raise validation_error(
                f"a quantizer is a config, a kind or a mapping with `kind`. Received: {as_text(value)}."
            )
        if not isinstance(value.get("kind"), str):
            known = listing(registry().names("quantizers"))
            raise validation_error(
                f"`kind` must be the name of a quantizer. Received: {as_text(value)}. Allowed: {known}."
            )
        try:
            cls = registry().load("quantizers", value["kind"])
            fields = {name: field for name, field in value.items() if name != "kind"}
            fields = migrated(cls, value["kind"], fields)
        except ConfigError as error:  # a plugin's failure is no finding: it keeps its type and cause
            raise validation_error(error) from None
        return cls.model_validate(fields)  # type: ignore[no-any-return]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate,
            serialization=core_schema.plain_serializer_function_ser_schema(_to_plain, info_arg=True),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return reference("quantizer")


def _to_plain(config: QuantizerConfig, info: SerializationInfo) -> dict[str, Any]:
    return config.to_dict(only_set=info.exclude_unset)


AnyQuantizer = Annotated[QuantizerConfig, Registered()]
