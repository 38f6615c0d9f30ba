"""What a step decides by counters, such as whether this one is the fourth: known before the step is taken.

Accumulated gradients are applied, and averages copied, in one step of several. Keras decides it by a number that it
takes out of a tensor. Where that tensor follows from integer variables alone, before the step has changed them, a graph
is traced for each way to decide, and the same operations on the present variables say which one to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import torch
from torch import Tensor


@dataclass(frozen=True)
class Expression:
    """A number computed from counters.

    Args:
        operation: of torch.
        args: of the operation: counters, expressions and constants.
        kwargs: keyword arguments, of the same kinds.
    """

    operation: Callable[..., Tensor]
    args: Any
    kwargs: Any

    def counters(self) -> Iterator[Tensor]:
        """Yield those that it depends on."""
        for argument in keras.tree.flatten((self.args, self.kwargs)):
            if isinstance(argument, Expression):
                yield from argument.counters()
            elif isinstance(argument, Tensor):
                yield argument

    def value(self) -> Tensor:
        """Compute it anew."""
        args, kwargs = keras.tree.map_structure(_value, (self.args, self.kwargs))
        return self.operation(*args, **kwargs)


def _value(argument: Any) -> Any:
    return argument.value() if isinstance(argument, Expression) else argument


@dataclass(frozen=True)
class Decision:
    """A number that a step took out of a tensor, as it was when the step was traced."""

    expression: Expression
    number: Any

    def holds(self) -> bool:
        """Return True if the next step would take out the same number."""
        return bool(self.expression.value().item() == self.number)


class Counters:
    """Follows, while a step is traced, the numbers that come of counters.

    Args:
        state: variables as tensors; a counter is an integer among them.
    """

    def __init__(self, state: Sequence[Tensor]) -> None:
        counters = [tensor for tensor in state if tensor.ndim == 0 and not tensor.is_floating_point()]
        self.versions = {id(tensor): (tensor, tensor._version) for tensor in counters}
        self.derived: dict[int, tuple[Tensor, int, Expression]] = {}
        self.decisions: list[Decision] = []

    def follow(self, operation: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take note of an operation."""
        if not isinstance(result, Tensor) or result.ndim or operation._schema.is_mutable:
            return
        if torch.Tag.nondeterministic_seeded in operation.tags:
            return
        arguments = keras.tree.map_structure(self._origin, (args, kwargs))
        if all(argument is not UNKNOWN for argument in keras.tree.flatten(arguments)):
            self.derived[id(result)] = result, result._version, Expression(operation, *arguments)

    def decide(self, tensor: Tensor, number: Any) -> bool:
        """Keep a decision if its number follows from counters that the step has not changed yet.

        Args:
            tensor: what the number was taken out of.
            number: the number.

        Returns:
            Whether it does.
        """
        expression = self._origin(tensor)
        if not isinstance(expression, Expression):
            return False
        counters = [*expression.counters()]
        if not all(map(self._is_unchanged, counters)):
            return False
        if counters:  # what follows from constants alone, such as a NaN, decides nothing
            self.decisions.append(Decision(expression, number))
        return True

    def _is_unchanged(self, counter: Tensor) -> bool:
        return bool(counter._version == self.versions[id(counter)][1])

    def _origin(self, argument: Any) -> Any:
        if not isinstance(argument, Tensor) or id(argument) in self.versions:
            return argument
        result, version, expression = self.derived.get(id(argument), (argument, 0, UNKNOWN))
        return expression if result._version == version else UNKNOWN


UNKNOWN = object()
"""A tensor that does not follow from counters."""
