"""An optimizer with a separate step size for bit variables, which it excludes from weight decay."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph import private as _keras
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import PACKAGE
from hgq2_core.quantizers.bit_variables import has_room, is_bit_variable
from hgq2_core.quantizers.defaults import BIT_LEARNING_RATE_SCALE

WHOLE: dict[str, Any] = {
    "clipnorm": None,
    "clipvalue": None,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "global_clipnorm": None,
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
    "use_ema": False,
}
"""Arguments that act on all variables together, each with the value that switches it off."""

DECAY = "weight_decay"
"""Suffix of the names of arguments that pull variables to 0."""


@keras.saving.register_keras_serializable(PACKAGE, "BitOptimizer")
class BitOptimizer(keras.optimizers.Optimizer):
    """Two copies of one optimizer, the second for the bit variables: without weight decay, and with a scaled step.

    Weight decay would pull bits to 0, which is the task of their cost in the loss: compile with
    `BitOptimizer(AdamW(...))`. Optimizers that normalize gradients, such as Adam, move a variable by about the learning
    rate whatever the size of its gradient; bits may need larger steps than weights. Everything else works as in the
    plain optimizer: clipping, averages, accumulated gradients and loss scaling act on all variables together.

    Args:
        optimizer: any Keras optimizer, or its name. As with Keras, what it excludes from decay is not saved.
        bit_learning_rate_scale: learning rate of the bit variables, as a multiple of that of the weights; 1 gives them
            the same.

    Raises:
        ConfigError: the scale is not positive, or the optimizer wraps another one.

    Example:
        >>> model.compile(hgq2_core.BitOptimizer(keras.optimizers.AdamW(1e-3, weight_decay=0.01)), loss="mse")
    """

    def __init__(
        self, optimizer: Any, bit_learning_rate_scale: float = BIT_LEARNING_RATE_SCALE, name: str | None = None
    ) -> None:
        if not bit_learning_rate_scale > 0:
            raise ConfigError(
                f"bit_learning_rate_scale must be positive. Received: bit_learning_rate_scale={bit_learning_rate_scale}"
            )
        inner = keras.optimizers.get(optimizer)
        if isinstance(inner, BitOptimizer) or hasattr(inner, "inner_optimizer"):
            raise ConfigError(
                f"BitOptimizer takes an optimizer that has none inside. Received: {type(inner).__name__}. "
                "Loss scaling goes around it: keras.optimizers.LossScaleOptimizer(BitOptimizer(optimizer))."
            )
        config = inner.get_config()
        whole = {argument: config[argument] for argument in WHOLE if argument in config}
        super().__init__(learning_rate=_rate(config["learning_rate"]), name=name or f"bit_{inner.name}", **whole)
        self.bit_learning_rate_scale = float(bit_learning_rate_scale)
        # Both learning rates are set at every step; schedules and callbacks act on that of this optimizer.
        alone = {**config, **{argument: WHOLE[argument] for argument in whole}, "learning_rate": 1.0}
        # AdamW refuses None.
        undecayed = {name: 0.0 for name, value in alone.items() if name.endswith(DECAY) and value is not None}
        self.weight_optimizer = type(inner).from_config(dict(alone))
        self.bit_optimizer = type(inner).from_config({**alone, **undecayed, "name": f"{inner.name}_bits"})
        _keras.copy_weight_decay_exclusions(inner, self.weight_optimizer)

    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Split the variables, and make each optimizer's slots.

        Args:
            variables: the model's trainable variables.
        """
        variables = list(variables)
        super().build(variables)
        self.bit_optimizer.build([variable for variable in variables if is_bit_variable(variable)])
        self.weight_optimizer.build([variable for variable in variables if not is_bit_variable(variable)])

    @property
    def variables(self) -> list[keras.Variable]:
        """The step counter, the state shared by all variables, and the state of both optimizers."""
        return [*super().variables, *self.weight_optimizer.variables, *self.bit_optimizer.variables]

    def exclude_from_weight_decay(
        self, var_list: Iterable[keras.Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Exclude further variables from weight decay; see `keras.optimizers.Optimizer`."""
        self.weight_optimizer.exclude_from_weight_decay(var_list, var_names)

    def _backend_update_step(
        self, grads: Sequence[Tensor], trainable_variables: Sequence[keras.Variable], learning_rate: Tensor
    ) -> None:
        """Take one step with each optimizer; Keras' base class has already clipped and accumulated the gradients."""
        pairs = list(zip(grads, trainable_variables, strict=True))
        for optimizer, bits, scale in (
            (self.weight_optimizer, False, 1.0),
            (self.bit_optimizer, True, self.bit_learning_rate_scale),
        ):
            group = [(grad, variable) for grad, variable in pairs if is_bit_variable(variable) is bits]
            if group:
                optimizer.iterations.assign(self.iterations)
                optimizer.learning_rate = learning_rate * scale
                _keras.update(optimizer, *map(list, zip(*group, strict=True)))

    def get_config(self) -> dict[str, Any]:
        """Return the optimizer, with the present learning rate or its schedule, and the scale."""
        whole = super().get_config()
        inner = self.weight_optimizer.get_config()
        inner |= {name: whole[name] for name in ("learning_rate", *WHOLE) if name in inner}
        cls = type(self.weight_optimizer)
        optimizer: dict[str, Any] = {"class_name": cls.__name__, "config": inner}
        registered = keras.saving.get_registered_name(cls)
        if registered != cls.__name__:  # a plugin's; Keras finds its own by the name of the class
            optimizer |= {"module": cls.__module__, "registered_name": registered}
        return {"optimizer": optimizer, "bit_learning_rate_scale": self.bit_learning_rate_scale, "name": self.name}

    def plain_variables(self) -> list[list[keras.Variable]]:
        """Return the variables in the order of the plain optimizer, to take over its state.

        Returns:
            For each variable of the plain optimizer, those that correspond here; two where both copies have one.
        """
        plain = keras.optimizers.get(self.get_config()["optimizer"])
        plain.build(self._trainable_variables)
        queues = [super().variables]
        for inner in (self.weight_optimizer, self.bit_optimizer):
            follows = (inner.iterations, inner.learning_rate)
            queues.append([variable for variable in inner.variables if all(variable is not each for each in follows)])
        places = []
        for variable in plain.variables:
            # The state of a model's variable is named after it; a variable named by Keras is shared by all.
            named = [queue for queue in queues if queue and queue[0].name == variable.name]
            places.append([queue.pop(0) for queue in named or queues if queue])
        return places


def decays(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return True if an optimizer applies weight decay to all variables; `BitOptimizer` itself does not."""
    return any(value for name, value in optimizer.get_config().items() if name.endswith(DECAY))


def decayed_bits(model: keras.Model) -> list[keras.Variable]:
    """Return the bit variables that the optimizer of a compiled model has decayed; none before its first step."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # LossScaleOptimizer
    if optimizer is None or not int(keras.ops.convert_to_numpy(optimizer.iterations)) or not decays(optimizer):
        return []
    bits = [variable for variable in model.trainable_variables if is_bit_variable(variable) and has_room(variable)]
    return [variable for variable in bits if _keras.uses_weight_decay(optimizer, variable)]


DECAYED = (
    "Compile with hgq2_core.BitOptimizer(optimizer), which decays weights alone, and train again. "
    "(What an optimizer of Keras' own excludes from decay is not saved with a model.)"
)
"""The remedy for decayed bits."""


def describe_decayed_bits(model: keras.Model) -> str:
    """Return a clause that says which bits of a compiled model were decayed; empty if none were."""
    bits = decayed_bits(model)
    if not bits:
        return ""
    return f"{type(model.optimizer).__name__} has pulled {len(bits)} bit variables towards 0 by weight decay"


def warn_of_decayed_bits(model: keras.Model, what: str) -> None:
    """Warn if the optimizer of a compiled model has decayed its bits.

    Args:
        model: any Keras model.
        what: the operation in progress, for the message.
    """
    seen = describe_decayed_bits(model)
    if seen:
        warnings.warn(f"{what}: {seen}. {DECAYED}", stacklevel=3)


def _rate(value: Any) -> Any:
    return keras.optimizers.schedules.deserialize(value) if isinstance(value, dict) else value
