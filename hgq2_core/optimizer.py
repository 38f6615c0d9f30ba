"""An optimizer that gives bit variables a step size of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.quantizer import PACKAGE, is_bit_variable

Tensor = Any


@dataclass(frozen=True)
class _Trained:
    """The variables to train, kept where Keras does not take them for the optimizer's own."""

    variables: tuple[keras.Variable, ...]


@keras.saving.register_keras_serializable(PACKAGE, "BitOptimizer")
class BitOptimizer(keras.optimizers.Optimizer):
    """Two copies of one optimizer, the second for the bit variables, with a scaled learning rate.

    Optimizers that normalize gradients, such as Adam, move a variable by about the learning rate whatever the size of
    its gradient; bits need larger steps than weights.

    Args:
        optimizer: any Keras optimizer, or its name.
        bit_learning_rate_scale: the bit variables' learning rate, in units of the weights'.

    Raises:
        ConfigError: a scale that is not positive.
    """

    def __init__(self, optimizer: Any, bit_learning_rate_scale: float = 1.0, name: str | None = None) -> None:
        if not bit_learning_rate_scale > 0:
            raise ConfigError(
                f"bit_learning_rate_scale must be positive. Received: bit_learning_rate_scale={bit_learning_rate_scale}"
            )
        weights = keras.optimizers.get(optimizer)
        config = weights.get_config()
        super().__init__(learning_rate=_rate(config["learning_rate"]), name=name or f"bit_{weights.name}")
        self.bit_learning_rate_scale = float(bit_learning_rate_scale)
        # The learning rates of the two are set at every step; schedules and callbacks act on this optimizer's own.
        self.weight_optimizer = type(weights).from_config({**config, "learning_rate": 1.0})
        # Decay would pull bits to 0, which is what their cost in the loss is for. AdamW refuses None.
        decay = None if config["weight_decay"] is None else 0.0
        own = {"learning_rate": 1.0, "name": f"{weights.name}_bits", "weight_decay": decay}
        self.bit_optimizer = type(weights).from_config({**config, **own})

    def build(self, variables: Iterable[keras.Variable]) -> None:
        """Split the variables, and make each optimizer's slots.

        Args:
            variables: the model's trainable variables.
        """
        variables = list(variables)
        super().build(variables)
        self._trained = _Trained(tuple(variables))
        self.bit_optimizer.build([variable for variable in variables if is_bit_variable(variable)])
        self.weight_optimizer.build([variable for variable in variables if not is_bit_variable(variable)])

    @property
    def variables(self) -> list[keras.Variable]:
        """The state of both optimizers, and the step counter."""
        return [*super().variables, *self.weight_optimizer.variables, *self.bit_optimizer.variables]

    def apply(self, grads: Iterable[Tensor], trainable_variables: Iterable[keras.Variable] | None = None) -> None:
        """Apply the gradients, each with its variable's optimizer.

        Args:
            grads: one gradient per variable, None where there is none.
            trainable_variables: as the optimizer was built with.
        """
        variables = list(trainable_variables if trainable_variables is not None else self._trained.variables)
        if not self.built:
            self.build(variables)
        pairs = list(zip(grads, variables, strict=True))
        for optimizer, bits, scale in (
            (self.weight_optimizer, False, 1.0),
            (self.bit_optimizer, True, self.bit_learning_rate_scale),
        ):
            own = [(grad, variable) for grad, variable in pairs if is_bit_variable(variable) is bits]
            if any(grad is not None for grad, _ in own):
                optimizer.learning_rate = self.learning_rate * scale
                optimizer.apply(*map(list, zip(*own, strict=True)))
        self.iterations.assign_add(1)

    def get_config(self) -> dict[str, Any]:
        """Give the optimizer, with the present learning rate or its schedule, and the scale."""
        own = super().get_config()
        inner = {**self.weight_optimizer.get_config(), "learning_rate": own["learning_rate"]}
        optimizer = {"class_name": type(self.weight_optimizer).__name__, "config": inner}
        return {"optimizer": optimizer, "bit_learning_rate_scale": self.bit_learning_rate_scale, "name": self.name}


def _rate(value: Any) -> Any:
    return keras.optimizers.schedules.deserialize(value) if isinstance(value, dict) else value
