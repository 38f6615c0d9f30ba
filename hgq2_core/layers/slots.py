"""The slots of a layer: one quantizer in each, made of its config when the layer is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import override

from hgq2_core.layers.construction import FieldLayer
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import AnyQuantizer, QuantizerConfig, Role, Slot
from hgq2_core.quantizers.defaults import resolve
from hgq2_core.quantizers.pass_through import PassThrough
from hgq2_core.schema.base import as_config_error

_any_quantizer: TypeAdapter[QuantizerConfig] = TypeAdapter(AnyQuantizer)


@dataclass
class _Slots:
    """A layer's quantizers by slot name, where Keras does not track them a second time beside their attributes.

    Also, by slot name, the place each field of their configs came from.
    """

    quantizers: dict[str, Quantizer[Any]]
    sources: dict[str, Mapping[str, str]]


class SlottedLayer(FieldLayer, kw_only=True):
    """A layer with quantizers by slot name."""

    @override
    def _construct(self, arguments: Mapping[str, Any]) -> None:
        super()._construct(arguments)
        self._slots = _Slots({}, {})

    def add_quantizer(
        self, quantizer: Any, role: Role, name: str, channel_axes: tuple[int, ...] = (-1,)
    ) -> Quantizer[Any]:
        """Make the quantizer of a slot; call it in `setup` and keep it under the argument's name.

        Args:
            quantizer: the argument: a config, a kind, a mapping, or None for the role's default.
            role: the slot's role.
            name: the slot's name, such as `kernel`.
            channel_axes: the axes that `granularity="channel"` gives bits of their own.

        Raises:
            ConfigError: fields that do not go together.
        """
        slot = Slot(role, name, self.name, channel_axes)
        with as_config_error(str(slot)):
            given = None if quantizer is None else _any_quantizer.validate_python(quantizer)
        complete = resolve(given, role, str(slot))
        self._slots.sources[name] = complete.sources
        made = self._slots.quantizers[name] = complete.config.build(slot)
        place = _input_place(name)
        if isinstance(made, PassThrough):
            made.input_bits = functools.partial(self._bits_of_values, place, made)
        elif hasattr(made, "input_bits") and place is not None:
            made.input_bits = functools.partial(self._input_bits, place)
        if not self.trainable:  # Keras passes on only what is set later
            made.trainable = False
        return made

    def _input_bits(self, place: int) -> Tensor | None:
        """Return the derived bits of an input, the most of all calls; None if the layer is in no graph."""
        from hgq2_core.layers.derived import input_bits  # which walks graphs of these layers

        return input_bits(self, place)

    def _bits_of_values(self, place: int | None, quantizer: PassThrough) -> Tensor | None:
        """Return the derived bits of what passes, also inside a wrapper; None where the layer is in no model."""
        from hgq2_core.layers.derived import unquantized_bits

        bits = None if place is None else self._input_bits(place)
        return unquantized_bits(quantizer) if bits is None else bits

    @property
    def quantizers(self) -> list[Quantizer[Any]]:
        """The layer's own quantizers, in the order of their slots."""
        return list(self._slots.quantizers.values())

    def slot_quantizer(self, name: str) -> Quantizer[Any]:
        """Return the quantizer of a slot."""
        return self._slots.quantizers[name]

    def sources(self, name: str) -> Mapping[str, str]:
        """Return the place each field of a slot's config came from: `slot`, `scope`, `role` or `class`."""
        return self._slots.sources[name]


def _input_place(slot: str) -> int | None:
    """Return which input of a layer a slot quantizes; None if it is another slot."""
    name, _, number = slot.partition("_")
    return int(number or 0) if name == "input" and (number.isdecimal() or not number) else None
