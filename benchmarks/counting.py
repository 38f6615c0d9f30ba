"""What does not depend on the machine: operations of torch, and the memory that a forward pass keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Counter(TorchDispatchMode):
    operations = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return function(*args, **(kwargs or {}))


def operations(run: Callable[[], Any]) -> int:
    """Return how many operations of torch a call takes."""
    with _Counter() as counter:
        run()
    return counter.operations


def bare_step(model: Any, x: Any, y: Any) -> Callable[[], Any]:
    """Return one training step of a compiled model, without what `fit` does around it."""
    x, y = torch.as_tensor(x), torch.as_tensor(y)

    def step() -> Any:
        loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True), training=True)
        variables = model.trainable_variables
        gradients = torch.autograd.grad(loss, [variable.value for variable in variables])
        with torch.no_grad():
            model.optimizer.apply(gradients, variables)
        return loss

    return step


def bare_prediction(model: Any, x: Any) -> Callable[[], Any]:
    """Return one prediction, without what `predict` does around it."""
    x = torch.as_tensor(x)

    def predict() -> Any:
        with torch.no_grad():
            return model(x, training=False)

    return predict


def kept(model: Any, x: Any) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, besides the model's variables."""
    storages: dict[int, Any] = {}
    saved_tensors_hooks = torch.autograd.graph.saved_tensors_hooks

    def counting(pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> Any:
        def counting_pack(tensor: Any) -> Any:
            packed = pack(tensor)
            if isinstance(packed, torch.Tensor):
                storage = packed.untyped_storage()
                storages[storage.data_ptr()] = storage
            return packed

        return saved_tensors_hooks(counting_pack, unpack)

    variables = {variable.value.untyped_storage().data_ptr() for variable in model.variables}
    # Hooks inside of others replace them, so those of layers count too.
    torch.autograd.graph.saved_tensors_hooks = counting
    try:
        with counting(lambda tensor: tensor, lambda tensor: tensor):
            outputs = model(torch.as_tensor(x), training=True)
            total = sum(storage.nbytes() for place, storage in storages.items() if place not in variables)
            del outputs
    finally:
        torch.autograd.graph.saved_tensors_hooks = saved_tensors_hooks
    return total
