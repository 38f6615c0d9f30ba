"""What the graph holds until the backward pass: beside the inputs, one float tensor as large as the values."""

import keras
import numpy
import pytest

from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QConv1D, QDense, QEinsumDense

torch = pytest.importorskip("torch")
quantizing = pytest.importorskip("hgq2_fixed_point.ops.torch.quantizing")
primitives = pytest.importorskip("hgq2_core.ops.torch")
ranges = pytest.importorskip("hgq2_fixed_point.ops.torch.ranges")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch alone shows what its graph holds")


def held(quantizer, x):
    """The large float tensors that are saved, once each, without the values and the quantizer's variables."""
    inputs = {x.data_ptr(), *(variable.value.data_ptr() for variable in quantizer.variables)}
    saved = {}

    def pack(tensor):
        if tensor.is_floating_point() and tensor.numel() == x.numel() and tensor.data_ptr() not in inputs:
            saved[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        q = quantizer.quantize(x, training=True)
    assert q.requires_grad
    return saved


@pytest.mark.parametrize("round_mode", ["RND", "S_RND"])
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("role", ["weight", "activation"])
@pytest.mark.parametrize("kind", [KBI, KIF])
def test_one_float_tensor_is_kept_beside_the_inputs(kind, role, granularity, overflow_mode, round_mode):
    config = kind(overflow_mode=overflow_mode, round_mode=round_mode, granularity=granularity)
    quantizer = config.build(Slot(role, "slot", "layer", channel_axes=(-1,)))
    quantizer.build((None, 8) if role == "activation" else (6, 8))
    assert len(held(quantizer, torch.randn(6, 8, requires_grad=True))) == 1


@pytest.mark.parametrize(
    "layer", [QDense(6), QEinsumDense("ab,bc->ac", 6), QConv1D(6, 2)], ids=lambda layer: layer.name
)
def test_values_that_are_computed_again_give_the_same_gradients(layer, monkeypatch):
    x = torch.linspace(-2.0, 2.0, 40).reshape((2, 4, 5) if isinstance(layer, QConv1D) else (8, 5))
    layer(x)

    def gradients():
        loss = layer(x).square().sum() + sum(layer.losses)
        return [
            each.numpy()
            for each in torch.autograd.grad(loss, [variable.value for variable in layer.trainable_variables])
        ]

    kept = gradients()
    monkeypatch.setattr(quantizing, "LARGE", 1)
    for before, again in zip(kept, gradients(), strict=True):
        numpy.testing.assert_array_equal(before, again)


@pytest.mark.parametrize("round_mode", ["RND", "S_RND"])
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
@pytest.mark.parametrize("kind", [KBI, KIF])
def test_blocks_of_large_tensors_give_what_the_whole_gives(kind, overflow_mode, round_mode, monkeypatch):
    config = kind(overflow_mode=overflow_mode, round_mode=round_mode, granularity="element")
    quantizer = config.build(Slot("weight", "slot", "layer"))
    quantizer.build((50, 30))
    x = torch.linspace(-9.0, 9.0, 1500)
    x[::41], x[1::43], x[2::47], x[3::53] = torch.inf, -torch.inf, torch.nan, -0.0
    x = x.reshape(50, 30).requires_grad_()
    u = torch.linspace(0.0, 0.99, 1500).reshape(50, 30) if round_mode == "S_RND" else None
    i = torch.linspace(-3.2, 4.2, 30).expand(50, 30).clone().requires_grad_()
    precision = torch.linspace(-2.0, 9.0, 50)[:, None].expand(50, 30).clone().requires_grad_()
    upstream = torch.cos(x.detach()), torch.linspace(0.0, 1.0, 50)[:, None].expand(50, 30), torch.tensor(0.5)

    def computed():
        outputs = quantizing.apply(x, 1.0, i, precision, quantizer.options, training=True, u=u)
        gradients = torch.autograd.grad(outputs, [x, i, precision], upstream, allow_unused=True)
        return [each.detach().numpy() for each in (*outputs, *gradients) if each is not None]

    whole = computed()
    monkeypatch.setattr(primitives, "UNCACHED", 1)
    monkeypatch.setattr(primitives, "BLOCK", 210)  # seven rows, and one is left over
    seen = []
    compute = quantizing._values_and_bits
    monkeypatch.setattr(
        quantizing,
        "_values_and_bits",
        lambda part, *a, **options: seen.append(len(part)) or compute(part, *a, **options),
    )
    for before, in_blocks in zip(whole, computed(), strict=True):
        numpy.testing.assert_array_equal(before, in_blocks)
    assert seen == [7] * 7 + [1]


@pytest.mark.parametrize("axes", [(0,), (0, 1, 2), (1, 2), (0, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 0, 2, 1)])
def test_extremes_do_not_depend_on_the_order_of_memory(order, axes):
    x = torch.sin(torch.arange(9.0 * 20 * 6 * 5) ** 2).reshape(9, 20, 6, 5).permute(order)
    low, high = ranges.extremes(x, axes)
    numpy.testing.assert_array_equal(low, x.numpy().min(axes, keepdims=True))
    numpy.testing.assert_array_equal(high, x.numpy().max(axes, keepdims=True))
