"""`jit`: the compiled form of a model's training step and of its prediction."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.errors import ConfigError


def jit(model: keras.Model, *, auto: bool = False) -> keras.Model:
    """Let `fit`, `train_on_batch`, `evaluate` and `predict` of a compiled model run compiled.

    On torch a whole step becomes one compiled graph: forward, loss, gradients, optimizer, ranges and metrics. The first
    step of each form of batch is eager, the second one is traced and compiled. That takes about 50 seconds of a CPU for
    a thousand operations; inductor caches the result for other processes, where it takes some seconds. What cannot be
    traced stays eager, and a warning says why: layers that read values, Keras' Nadam, and the scaling of losses, which
    looks at the gradients. On jax and tensorflow Keras' own functions are compiled.

    `compile`, and loading a model, drop the compiled step: call `jit` after them.

    Args:
        model: compiled by `model.compile`.
        auto: compile a step only when it is expected to save more time than compiling takes: in what is left of the
            training if that is known, as in `hgq2 train`, else in as many steps as there were. When that is depends on
            the machine, and sums of a compiled step may differ in their last digits: such a training does not repeat to
            the bit. On jax and tensorflow, Keras' own choice.

    Returns:
        The same model.

    Raises:
        ConfigError: the model is not compiled.
    """
    if not getattr(model, "compiled", False):
        raise ConfigError(
            f"jit: {model.name} has no optimizer and no loss yet. Call model.compile(...) first, and jit after it."
        )
    if keras.backend.backend() == "torch":
        _install(model, auto)
    elif not auto:
        model.jit_compile = True
        for name in ("train", "test", "predict"):
            getattr(model, f"make_{name}_function")(force=True)
    return model


def is_jit(model: Any) -> bool:
    """Return True if the training step of a model on torch is compiled, or will be with its second batch."""
    if keras.backend.backend() != "torch":
        return False
    from hgq2_core.compilation.functions import CompiledFunction

    return isinstance(model.train_function, CompiledFunction) and model.train_function.payoff is None


def _install(model: Any, auto: bool) -> None:
    from hgq2_core.compilation.functions import CompiledFunction
    from hgq2_core.compilation.inductor import compiled
    from hgq2_core.compilation.payoff import Payoff

    for step in ("train", "test", "predict"):
        setattr(model, f"{step}_function", CompiledFunction(model, step, compiled, Payoff() if auto else None))
