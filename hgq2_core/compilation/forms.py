"""Which forms of steps get a graph of their own: those that come often enough to pay for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from hgq2_core.compilation.counters import Decision

SHARE = 1 / 2
"""Of the steps since a form first came, more than this part must have it; the last batch of an epoch is rarer."""
SHARE_OF_DECISION = 1 / 8
"""The same for steps that decide otherwise than those traced, such as every fourth one."""
REMEMBERED = 64
"""Forms of batches whose steps are counted."""


@dataclass
class Compiled:
    """A compiled step for one form of batch.

    Args:
        run: of the tensors of a batch and then the state; returns a list of tensors.
        state: what the graph reads and changes in place: the variables of the model, its optimizer and its metrics.
        decisions: what the step decided by counters when it was traced; it holds for steps that decide the same.
        results: makes what the step returns of a list of tensors.
    """

    run: Callable[..., Any]
    state: list[torch.Tensor]
    decisions: list[Decision]
    results: Callable[[list[torch.Tensor]], Any]

    def holds(self) -> bool:
        """Return True if the next step decides as this one."""
        return all(decision.holds() for decision in self.decisions)

    def __call__(self, tensors: list[torch.Tensor]) -> Any:
        """Take the step."""
        with torch.no_grad():
            return self.results(list(self.run(*tensors, *self.state)))


@dataclass
class Form:
    """Steps with one form of batch.

    Args:
        first: number of the first step that no graph was there for.
        count: how many there were since.
        graphs: one for each way to decide.
    """

    first: int
    count: int = 0
    graphs: list[Compiled] = field(default_factory=list)

    def graph(self) -> Compiled | None:
        """Return the graph of the next step, if there is one."""
        return next((graph for graph in self.graphs if graph.holds()), None)

    def is_frequent(self, step: int) -> bool:
        """Count a step that there is no graph for, and return True if it is worth one."""
        if not self.count:
            self.first = step
        self.count += 1
        share = SHARE_OF_DECISION if self.graphs else SHARE
        return self.count > max(1, share * (step - self.first + 1))

    def add(self, graph: Compiled) -> None:
        """Keep a graph."""
        self.graphs.append(graph)
        self.count = 0


class Forms:
    """The forms of batches seen so far, the oldest without a graph forgotten when there are many."""

    def __init__(self) -> None:
        self.steps = 0
        self.forms: dict[Any, Form] = {}

    @property
    def graphs(self) -> list[Compiled]:
        """Those of all forms."""
        return [graph for form in self.forms.values() for graph in form.graphs]

    def of_next_step(self, key: Any) -> Form:
        """Return the form of the next step."""
        self.steps += 1
        form = self.forms.get(key)
        if form is None:
            if len(self.forms) >= REMEMBERED:
                del self.forms[next(key for key, form in self.forms.items() if not form.graphs)]
            form = self.forms[key] = Form(self.steps)
        return form
