"""A step of a model as Keras calls it: eager at first, then traced, then one compiled graph for each form of batch."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import keras
import torch

from hgq2_core.compilation.tracing import UntraceableError, trace
from hgq2_core.quantizers.phase import phase

Step = Literal["train", "test", "predict"]
Compiler = Callable[[Any, list[torch.Tensor]], Callable[..., Any]]

LOG = logging.getLogger("hgq2_core")


@dataclass
class Compiled:
    """A compiled step for one form of batch.

    Args:
        run: of the tensors of a batch and then the state; returns a list of tensors.
        state: what the graph reads and changes in place: the variables of the model, its optimizer and its metrics.
        results: the structure of what the step returns.
    """

    run: Callable[..., Any]
    state: list[torch.Tensor]
    results: Any

    def __call__(self, tensors: list[torch.Tensor]) -> Any:
        """Take the step."""
        with torch.no_grad():
            return keras.tree.pack_sequence_as(self.results, list(self.run(*tensors, *self.state)))


class CompiledFunction:
    """What Keras calls with each batch in `fit`, `evaluate` or `predict`.

    The first step of each form of batch is eager, so that Keras makes what it makes late; the second one is traced. A
    form is known by the structure, shapes and dtypes of a batch, by what is trainable, by the optimizer and the phase.
    A form with fewer samples than the one before, such as the last batch of an epoch, stays eager.

    Args:
        model: compiled.
        step: which one.
        compiler: makes a function of a graph and an example of its inputs.
    """

    def __init__(self, model: keras.Model, step: Step, compiler: Compiler) -> None:
        self.model = model
        self.step = step
        self.compiler = compiler
        self.forms: dict[Any, Compiled | None] = {}
        self.samples = 0
        self.reason: str | None = None

    def __call__(self, data: Any) -> Any:
        """Take a step.

        Args:
            data: a list of one batch, as Keras' iterators give it.

        Returns:
            What the model's own step returns.
        """
        if self.reason is not None or len(data) != 1:
            return self._eager(data)
        leaves = [None if leaf is None else keras.ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(data[0])]
        tensors = [leaf for leaf in leaves if leaf is not None]
        form = self._form(data[0], leaves)
        if form not in self.forms:
            self.forms[form] = None
            return self._eager(data)
        compiled = self.forms[form]
        if compiled is not None:
            return compiled(tensors)
        if tensors and tensors[0].shape[0] < self.samples:
            return self._eager(data)
        self.samples = tensors[0].shape[0] if tensors else 0
        return self._traced(form, data[0], leaves)

    def _eager(self, data: Any) -> Any:
        step = getattr(self.model, f"{self.step}_step")
        if self.step == "train":
            return step(data[0])
        with torch.no_grad():
            return step(data[0])

    def _form(self, batch: Any, leaves: list[torch.Tensor | None]) -> Any:
        shapes = tuple(None if leaf is None else (leaf.shape, leaf.dtype) for leaf in leaves)
        trainable = tuple(variable.trainable for variable in self._variables())
        structure = repr(keras.tree.map_structure(lambda leaf: leaf is None, batch))
        return structure, shapes, trainable, id(self.model.optimizer), phase()

    def _variables(self) -> list[keras.Variable]:
        variables: list[keras.Variable] = self.model.variables
        return variables

    def _traced(self, form: Any, batch: Any, leaves: list[torch.Tensor | None]) -> Any:
        """Take a step, trace and compile it; one that cannot be traced is taken again, eagerly, like all after it."""
        present = [place for place, leaf in enumerate(leaves) if leaf is not None]
        tensors = [leaf for leaf in leaves if leaf is not None]
        structure: list[Any] = []

        def step(*inputs: torch.Tensor) -> list[torch.Tensor]:
            filled = list(leaves)
            for place, tensor in zip(present, inputs, strict=True):
                filled[place] = tensor
            results = self._eager([keras.tree.pack_sequence_as(batch, filled)])
            structure.append(results)
            return [self._tensor(result) for result in keras.tree.flatten(results)]

        with self._restored_on_failure():
            try:
                graph, state = trace(step, tensors)
            except Exception as error:  # what is wrong with the step itself, it raises again when it is taken eagerly
                self._give_up(error)
        if self.reason is not None:
            return self._eager([batch])
        held = [tensor.detach() for tensor in state]
        try:
            self.forms[form] = Compiled(self.compiler(graph, [*tensors, *held]), held, structure[0])
        except Exception as error:  # no compiler, or a graph that it does not take: no reason to lose a training
            self._give_up(error)
        return structure[0]

    def _give_up(self, error: Exception) -> None:
        self.reason = self._place(error)
        LOG.warning("%s: the %s step stays eager: %s.", self.model.name, self.step, self.reason)

    def _place(self, error: Exception) -> str:
        """Return what cannot be traced; Keras names the layer in front, and lists what it was called with behind."""
        lines = [line for line in str(error).splitlines() if line]
        return " ".join(re.sub(r"\x1b\[\d+m", "", line) for line in lines[:2] if not line.startswith("Arguments"))

    def _tensor(self, result: Any) -> torch.Tensor:
        if not isinstance(result, torch.Tensor):
            raise UntraceableError(f"it returns {type(result).__name__} beside tensors")
        return result

    @contextmanager
    def _restored_on_failure(self) -> Iterator[None]:
        """Put every variable back if tracing ends early."""
        optimizer = self.model.optimizer
        variables = [
            *self.model.variables,
            *(optimizer.variables if optimizer is not None else []),
            *(variable for metric in self.model.metrics for variable in metric.variables),
        ]
        values = [variable.value.detach().clone() for variable in variables]
        yield
        if self.reason is not None:
            with torch.no_grad():
                for variable, value in zip(variables, values, strict=True):
                    variable.value.copy_(value)
