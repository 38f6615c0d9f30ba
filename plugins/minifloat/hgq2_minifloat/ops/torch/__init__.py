"""torch: a fused forward pass and a hand-written backward one."""

from typing import Any

from torch import Tensor
from typing_extensions import override

from hgq2_core.ops.torch import as_values, binade
from hgq2_minifloat.ops.backend import Backend
from hgq2_minifloat.ops.torch.quantizing import quantize


class TorchBackend(Backend):
    """See `Backend`."""

    quantize = staticmethod(quantize)

    @override
    def binade(self, x: Any) -> Tensor:
        return binade(as_values(x).detach())


BACKEND = TorchBackend()
