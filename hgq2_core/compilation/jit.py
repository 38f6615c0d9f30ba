"""`jit`: the compiled form of a model's training step and of its prediction."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.errors import ConfigError


def jit(model: keras.Model) -> keras.Model:
    """Let `fit`, `train_on_batch`, `evaluate` and `predict` of a compiled model run compiled.

    On torch a whole step becomes one compiled graph: forward, loss, gradients, optimizer, ranges and metrics. The first
    step of each form of batch is eager, the second one is traced and compiled; inductor caches the result for other
    processes. What cannot be traced stays eager, and a warning says why. On jax and tensorflow Keras' own functions are
    compiled.

    `compile`, and loading a model, drop the compiled step: call `jit` after them.

    Args:
        model: compiled by `model.compile`.

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
        _install(model)
    else:
        model.jit_compile = True
        for name in ("train", "test", "predict"):
            getattr(model, f"make_{name}_function")(force=True)
    return model


def is_jit(model: Any) -> bool:
    """Return True if the training step of a model on torch is compiled, or will be with its second batch."""
    if keras.backend.backend() != "torch":
        return False
    from hgq2_core.compilation.functions import CompiledFunction

    return isinstance(model.train_function, CompiledFunction)


def _install(model: Any) -> None:
    from hgq2_core.compilation.functions import CompiledFunction
    from hgq2_core.compilation.inductor import compiled

    for step in ("train", "test", "predict"):
        setattr(model, f"{step}_function", CompiledFunction(model, step, compiled))
