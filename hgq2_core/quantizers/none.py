"""No quantizer: the config of a slot that leaves values unchanged. Imports no backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from hgq2_core.quantizers.config import QuantizerConfig, Slot

if TYPE_CHECKING:
    from hgq2_core.quantizers.pass_through import PassThrough


class NoQuantizer(QuantizerConfig):
    """No quantization: values pass, and cost the bits that they have. Its kind is `none`, whatever is installed."""

    @override
    def build(self, slot: Slot | None = None) -> PassThrough:
        from hgq2_core.quantizers.pass_through import PassThrough

        return PassThrough(self, slot)

    @property
    def bits(self) -> int:
        """Bits of its own; EBOPs count those of the values."""
        return 0
