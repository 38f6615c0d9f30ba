"""The conformance kit over every kind of ours, whatever is installed beside: a new one needs no test of its own."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import pytest
from layer_examples import EXAMPLES, FAMILIES
from selection import slow

from hgq2_core import defaults
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.testing import check_layer, check_quantizer, layer_checks
from hgq2_core.testing.rules import run

QUANTIZERS = tuple(filter(is_official, registry().names("quantizers")))
LAYERS = tuple(filter(is_official, registry().names("layers")))
ON_TORCH = keras.backend.backend() == "torch"


def fields_of(kind: str) -> Container[str]:
    return registry().load("quantizers", kind).model_fields


def overflow_modes() -> Iterator[Any]:
    """Each kind with one mode, the modes in turn; with the other among the slow tests."""
    for kind, modes in zip(QUANTIZERS, itertools.cycle((("WRAP", "SAT_SYM"), ("SAT_SYM", "WRAP")))):
        yield kind, modes[0]
        yield slow(kind, modes[1])


@pytest.mark.every_backend
@pytest.mark.parametrize(("kind", "overflow_mode"), list(overflow_modes()))
def test_quantizer(kind: str, overflow_mode: str) -> None:
    cls = registry().load("quantizers", kind)
    modes = {"overflow_mode": overflow_mode} if "overflow_mode" in fields_of(kind) else {}
    check_quantizer(cls(**modes), imports=ON_TORCH and overflow_mode == "WRAP")  # it tells of every backend


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("kind", [kind for kind in QUANTIZERS if "granularity" in fields_of(kind)])
def test_quantizer_that_shares_its_bits(kind: str, granularity: str) -> None:
    check_quantizer(registry().load("quantizers", kind)(granularity=granularity), imports=False)


def test_every_layer_has_an_example() -> None:
    assert set(EXAMPLES) == set(LAYERS)


@dataclass(frozen=True)
class Formats:
    """What every slot of a layer is given by a scope; the rows meet each pair of their values once or more."""

    weights: str
    kind: str
    activations: str
    granularity: str

    def scope(self) -> defaults:
        shared = {"granularity": self.granularity}
        return defaults(
            weight={"kind": "fixed_point.kbi", "overflow_mode": self.weights, **shared},
            activation={"kind": self.kind, "overflow_mode": self.activations, **shared},
        )


FORMATS = (
    Formats("SAT_SYM", "fixed_point.kif", "WRAP", "element"),
    Formats("WRAP", "fixed_point.kif", "SAT_SYM", "channel"),
    Formats("SAT_SYM", "fixed_point.kbi", "SAT_SYM", "tensor"),
    Formats("WRAP", "fixed_point.kbi", "WRAP", "tensor"),
)


def rows() -> Iterator[Any]:
    """A kind of each family with one row of formats, the rows in turn; all else among the slow tests."""
    for turn, kind in enumerate(EXAMPLES):
        for row, formats in enumerate(FORMATS):
            if row == turn % len(FORMATS) and kind in FAMILIES:
                yield pytest.param(kind, formats)
            else:
                yield slow(kind, formats)


@pytest.mark.every_backend
@pytest.mark.parametrize(("kind", "formats"), list(rows()), ids=str)
def test_layer(kind: str, formats: Formats) -> None:
    arguments, input_shape = EXAMPLES[kind][0]
    with formats.scope():
        # A circuit is made of integers, which no backend has a part in: it is compared on torch only.
        run(
            kind,
            [
                check
                for check in layer_checks({"kind": kind, **arguments}, input_shape)
                if ON_TORCH or check.id != "becomes_a_circuit"
            ],
        )


OTHER_ARGUMENTS = [(kind, *example) for kind, examples in EXAMPLES.items() for example in examples[1:]]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "arguments", "input_shape"), OTHER_ARGUMENTS)
def test_layer_of_other_arguments(kind: str, arguments: dict[str, Any], input_shape: Any) -> None:
    check_layer({"kind": kind, **arguments}, input_shape)
