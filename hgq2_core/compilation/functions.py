"""A step of a model as Keras calls it: eager at first, then traced, then one compiled graph for each form of batch."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import keras
import torch

from hgq2_core.compilation.forms import Compiled, Form, Forms
from hgq2_core.compilation.payoff import Payoff
from hgq2_core.compilation.tracing import UntraceableError, trace
from hgq2_core.quantizers.phase import phase

Step = Literal["train", "test", "predict"]
Compiler = Callable[[Any, list[torch.Tensor]], Callable[..., Any]]

LOG = logging.getLogger("hgq2_core")


WRAPPERS = re.compile(r"[/\\](torch[/\\]core|ops[/\\]\w+|traceback_utils|operation|layer)\.py$")
"""Files of Keras through which it calls every operation and every layer."""

MAX_GRAPHS = 4
"""How many graphs a step may have, since each takes its time to compile."""


class CompiledFunction:
    """What Keras calls with each batch in `fit`, `evaluate` or `predict`.

    The first step of each form of batch is eager, so that Keras makes what it makes late; the second one is traced. A
    form is known by the structure, shapes and dtypes of a batch, by what is trainable, by the optimizer and the phase.
    A form that comes now and then, such as the last batch of an epoch, stays eager; see `Forms`.

    What is a number and no variable when a step is traced, such as the rate of a dropout, is a constant of its graph;
    so are the layers that the model has.

    Args:
        model: compiled.
        step: which one.
        compiler: makes a function of a graph and an example of its inputs.
        payoff: compile where it pays alone; None compiles what is frequent.
    """

    def __init__(self, model: keras.Model, step: Step, compiler: Compiler, payoff: Payoff | None = None) -> None:
        self.model = model
        self.step = step
        self.compiler = compiler
        self.payoff = payoff
        self.forms = Forms()
        self.full = False
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
        form = self.forms.of_next_step(self._form(data[0], leaves))
        graph = form.graph()
        if graph is not None:
            return graph([leaf for leaf in leaves if leaf is not None])
        if not form.is_frequent(self.forms.steps) or self._has_enough():
            return self._eager(data)
        if self.payoff is not None and not self.payoff.pays():
            return self.payoff.take(partial(self._eager, data))
        return self._traced(form, data[0], leaves)

    def _has_enough(self) -> bool:
        if len(self.forms.graphs) < MAX_GRAPHS:
            return False
        if not self.full:
            self.full = True
            LOG.warning(
                "%s: the %s step is compiled for %d forms of batches; batches of other shapes stay eager. Batches of "
                "one shape, such as padded ones, would share one graph.",
                self.model.name, self.step, MAX_GRAPHS,
            )  # fmt: skip
        return True

    def _eager(self, data: Any) -> Any:
        step = getattr(self.model, f"{self.step}_step")
        if self.step == "train":
            return step(data[0])
        with torch.no_grad():
            return step(data[0])

    def _form(self, batch: Any, leaves: list[torch.Tensor | None]) -> Any:
        shapes = tuple(None if leaf is None else (leaf.shape, leaf.dtype) for leaf in leaves)
        trainable = tuple(variable.trainable for variable in self._variables)
        structure = repr(keras.tree.map_structure(lambda leaf: leaf is None, batch))
        return structure, shapes, trainable, id(self.model.optimizer), phase()

    @cached_property
    def _variables(self) -> list[keras.Variable]:
        """Those of the model, which takes a walk through its layers to find."""
        variables: list[keras.Variable] = self.model.variables
        return variables

    def _state(self) -> list[torch.Tensor]:
        """Return the values of all variables, and the tensors of torch's own modules: what may change between steps."""
        optimizer = self.model.optimizer
        variables = [
            *self.model.variables,
            *(optimizer.variables if optimizer is not None else []),
            *(variable for metric in self.model.metrics for variable in metric.variables),
        ]
        return [*(variable.value for variable in variables), *self.model.buffers()]

    def _traced(self, form: Form, batch: Any, leaves: list[torch.Tensor | None]) -> Any:
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

        variables = self._state()
        with self._restored_on_failure(variables):
            try:
                traced = trace(step, tensors, variables)
            except Exception as error:  # what is wrong with the step itself, it raises again when it is taken eagerly
                self._give_up(error)
        if self.reason is not None:
            return self._eager([batch])
        held = [tensor.detach() for tensor in traced.state]
        results = partial(keras.tree.pack_sequence_as, structure[0])
        try:
            run = self.compiler(traced.graph, [*tensors, *held])
            form.add(Compiled(run, held, traced.decisions, results))
        except Exception as error:  # no compiler, or a graph that it does not take: no reason to lose a training
            self._give_up(error)
        return structure[0]

    def _give_up(self, error: Exception) -> None:
        self.reason = self._place(error)
        LOG.warning("%s: the %s step stays eager: %s.", self.model.name, self.step, self.reason)

    def _place(self, error: Exception) -> str:
        """Return what cannot be traced, and the line of Keras or of a layer that does it.

        Keras names the layer in front, and lists what it was called with behind.
        """
        lines = [line for line in str(error).splitlines() if line]
        text = " ".join(re.sub(r"\x1b\[\d+m", "", line) for line in lines[:2] if not line.startswith("Arguments"))
        if not isinstance(error, UntraceableError):
            return text
        not_named = str(Path(torch.__file__).parent), str(Path(__file__).parent)
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if not frame.filename.startswith(not_named) and not WRAPPERS.search(frame.filename)
        ]
        return (
            f"{text}, in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text
        )

    def _tensor(self, result: Any) -> torch.Tensor:
        if not isinstance(result, torch.Tensor):
            raise UntraceableError(f"it returns {type(result).__name__} beside tensors")
        return result

    @contextmanager
    def _restored_on_failure(self, variables: list[torch.Tensor]) -> Iterator[None]:
        """Put every variable back if tracing ends early."""
        values = [variable.detach().clone() for variable in variables]
        yield
        if self.reason is not None:
            with torch.no_grad():
                for variable, value in zip(variables, values, strict=True):
                    variable.copy_(value)
