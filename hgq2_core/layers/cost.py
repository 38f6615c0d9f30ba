"""The cost of a layer enters the loss with each of its calls."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from hgq2_core.ops import Tensor, divide_batch
from hgq2_core.quantizers.call import Call, present_call, running

if TYPE_CHECKING:
    from hgq2_core.layers.base import QLayer


def with_cost(call: Callable[..., Any]) -> Callable[..., Any]:
    """Add the layer's cost to the loss, once a call however deep the subclass.

    In `call`, not in Keras' `__call__`: TimeDistributed calls the layer inside it without.
    """

    @functools.wraps(call)
    def wrapper(self: QLayer, *args: Any, **kwargs: Any) -> Any:
        outer = present_call()
        if outer is not None and outer.layer is self:
            return call(self, *args, **kwargs)
        present = Call(self)
        with running(present):
            outputs = call(self, *divide_batch(args), **kwargs)
            if self.cost_in_call and not self.frozen and not _is_symbolic(outputs):
                cost = self.in_loss()
                if cost is not None:
                    self.add_loss(cost)
        return outputs

    return wrapper


def own_ebops(layer: QLayer) -> Tensor:
    """Return a layer's EBOPs for one sample: its own, and those of quantizers that cost something by themselves."""
    costs = (quantizer.own_ebops() for quantizer in layer.quantizers)
    return functools.reduce(operator.add, (cost for cost in costs if cost is not None), layer.ebops())


def loss_of(layer: QLayer) -> Tensor | None:
    """Return EBOPs times their weight, and the penalties of quantizers; None where a layer has neither."""
    call = present_call()
    costs = {} if call is None else call.costs
    penalties = (
        costs[quantizer].penalty if quantizer in costs else quantizer.penalty() for quantizer in layer.quantizers
    )
    terms = [penalty for penalty in penalties if penalty is not None]
    if layer.enable_ebops:
        terms.append(layer.ebops_beta.value * own_ebops(layer))
    return functools.reduce(operator.add, terms) if terms else None


def _is_symbolic(outputs: Any) -> bool:
    if isinstance(outputs, dict | list | tuple):
        return any(map(_is_symbolic, outputs.values() if isinstance(outputs, dict) else outputs))
    return isinstance(outputs, keras.KerasTensor)
