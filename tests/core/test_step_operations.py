"""The operations of a training step: bits and penalty come with the quantized values, and are not computed again."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core.errors import IncompleteError
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.call import present_call
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense
from hgq2_minifloat import Minifloat

CONFIGS = {"kbi": KBI, "kif": KIF, "minifloat": Minifloat}

BEFORE = {"kbi": 230, "kif": 221, "minifloat": 327}
"""Of torch, forward and backward, counted before `quantize_with_cost`, when each quantizer kept its bits itself."""


def operations_of_a_step(kind: str) -> int:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        operations = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.operations += 1
            return function(*args, **(kwargs or {}))

    config = CONFIGS[kind]()
    layer = QDense(4, kernel_quantizer=config, input_quantizer=config)
    x = keras.ops.convert_to_tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3))
    layer(x, training=True)
    with Counter() as counter:
        (keras.ops.sum(layer(x, training=True)) + sum(layer.losses)).backward()
    return counter.operations


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="counts the operations of torch")
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_training_step_takes_no_more_operations_than_before(kind: str) -> None:
    assert operations_of_a_step(kind) <= BEFORE[kind]


@pytest.mark.parametrize("kind", CONFIGS)
def test_one_call_returns_what_quantize_bits_and_penalty_return(kind: str) -> None:
    quantizer = CONFIGS[kind]().build(Slot("weight"))
    x = keras.ops.convert_to_tensor(np.linspace(-1.3, 1.1, 12, dtype=np.float32).reshape(3, 4))
    quantizer.build((3, 4))
    values, bits, penalty = quantizer.quantize_with_cost(x)
    np.testing.assert_array_equal(numpy_of(values), numpy_of(quantizer.quantize(x)))
    np.testing.assert_array_equal(np.broadcast_to(numpy_of(bits), (3, 4)), numpy_of(quantizer.bits(x)))
    if quantizer.penalty() is not None:
        np.testing.assert_array_equal(numpy_of(penalty), numpy_of(quantizer.penalty()))


def test_a_quantizer_that_defines_quantize_alone_answers_with_its_cost() -> None:
    class Halves(Quantizer[Any]):
        def quantize(self, x: Any, training: bool = False) -> Any:
            return keras.ops.round(2.0 * x) / 2.0

        def bits(self, x: Any = None) -> Any:
            return keras.ops.full((2,), 3.0)

        def exact(self, arrays: Any, x: Any) -> Any:
            return arrays.quantize(x, 1, 20, 1, "RND_CONV", "SAT")

        def format(self, x: Any = None) -> dict[str, Any]:
            return {"f": np.array(1)}

    quantizer = Halves(KBI())
    values, bits, penalty = quantizer.quantize_with_cost(keras.ops.convert_to_tensor([0.4, 1.1]))
    assert (numpy_of(values).tolist(), numpy_of(bits).tolist(), penalty) == ([0.5, 1.0], [3.0, 3.0], None)


def test_a_quantizer_that_defines_neither_form_is_refused() -> None:
    class Empty(Quantizer[Any]):
        """Defines nothing."""

    with pytest.raises(IncompleteError) as error:
        Empty(KBI())
    assert str(error.value) == (
        "Empty does not define quantize(), bits(), exact(), format(). The protocol and complete files: "
        "docs/extending/quantizer.md"
    )


class Watching(QDense):
    """Tells what its kernel quantizer costs, here and in another thread, after its own computation."""

    seen: ClassVar[list[Any]] = []

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = super().call(inputs, training=training)
        with ThreadPoolExecutor(1) as elsewhere:
            self.seen[:] = self.kernel_quantizer.cost_in_call, elsewhere.submit(self._cost).result()
        return outputs

    def _cost(self) -> Any:
        return self.kernel_quantizer.cost_in_call


def test_a_cost_belongs_to_the_call_of_the_layer_and_to_its_thread() -> None:
    layer = Watching(2)
    layer(np.zeros((2, 3), np.float32), training=True)
    here, elsewhere = layer.seen
    np.testing.assert_array_equal(numpy_of(here.bits), np.full((3, 2), 8.0))
    assert (elsewhere, layer.kernel_quantizer.cost_in_call, present_call()) == (None, None, None)
    assert len(layer.losses) == 1


def test_a_layer_inside_another_one_keeps_its_costs_to_itself() -> None:
    class Outer(QDense):
        def build(self, input_shape: Any) -> None:
            self.inner = QDense(3)
            self.inner.build(input_shape)
            super().build(input_shape)

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            outputs = super().call(self.inner(inputs, training=training), training=training)
            assert self.inner.kernel_quantizer.cost_in_call is None
            return outputs

    layer = Outer(2)
    layer(np.zeros((2, 3), np.float32), training=True)
    assert len(layer.losses) == 2
