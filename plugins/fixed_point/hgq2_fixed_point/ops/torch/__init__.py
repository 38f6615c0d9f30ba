"""torch: fused forward passes and hand-written backward ones."""

from hgq2_fixed_point.ops.backend import Backend
from hgq2_fixed_point.ops.torch.bits import clipped_bits, round_bits
from hgq2_fixed_point.ops.torch.dynamic import quantize_dynamic
from hgq2_fixed_point.ops.torch.observed import quantize_observed
from hgq2_fixed_point.ops.torch.quantizing import quantize
from hgq2_fixed_point.ops.torch.ranges import min_integer_bits


class TorchBackend(Backend):
    """See `Backend`."""

    quantize = staticmethod(quantize)
    quantize_dynamic = staticmethod(quantize_dynamic)
    quantize_observed = staticmethod(quantize_observed)
    min_integer_bits = staticmethod(min_integer_bits)
    round_bits = staticmethod(round_bits)
    clipped_bits = staticmethod(clipped_bits)


BACKEND = TorchBackend()
