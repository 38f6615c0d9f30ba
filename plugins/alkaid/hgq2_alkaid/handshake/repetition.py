"""The part of a model that computes the same for every block of positions, so that one circuit serves all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from hgq2_alkaid.handshake.fingerprints import Fingerprint, Fingerprints
from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exporting.graph import run
from hgq2_core.layers.adapters import exact
from hgq2_core.layers.states import kept_states

MIXES = "what it gives for one position depends on others"
DIFFERS = "its bits or weights differ from position to position"
IN_FRONT = "layers in front that compute each position by itself, such as layers.dense"
NEAREST = {DIFFERS: 'quantizers that share their bits among positions, such as granularity="channel" or "tensor"'}
"""What would make a layer repeat, by the reason why it does not."""


@dataclass(frozen=True)
class Repetition:
    """The layers that one circuit computes for all blocks of positions.

    Args:
        layers: their places in the model.
        blocks: the number of blocks, N.
        positions: of each block.
        uncounted: those of them whose EBOPs count all positions.
        end: the first layer that is not among them, and why; None where all are.
    """

    layers: tuple[str, ...]
    blocks: int
    positions: int
    uncounted: tuple[str, ...] = ()
    end: tuple[str, str] | None = None


def repetition(model: keras.Model, blocks: int) -> Repetition:
    """Return the layers, from the inputs on, that compute the same for every block of positions and for it alone.

    This is proven for each layer: on all positions, its exact statement makes of each block the same expressions as it
    makes of a block alone, and none of them holds a number of another block.

    Args:
        model: a frozen model whose inputs have positions as the first axis behind the batch.
        blocks: into how many the positions are divided.

    Raises:
        ConfigError: the positions cannot be divided so, or a layer's `parallelization_factor` says another number.
        ExactnessError: there is no such layer.
    """
    if kept_states(model):
        raise ConfigError("reuse: a model that keeps states computes one step at a time already. Allowed: reuse=1.")
    positions = _positions(model)
    if positions % blocks:
        allowed = [n for n in range(1, positions + 1) if positions % n == 0]
        nearest = min(allowed, key=lambda n: abs(n - blocks))
        raise ConfigError(
            f"reuse: must divide the {positions} positions of input {model.inputs[0].name!r}. Received: "
            f"reuse={blocks}. Allowed: {_words(allowed)}; the nearest is {nearest}."
        )
    found = _Search(blocks)
    starts = [Fingerprints().numbers((1, *x.shape[1:]), blocks, n) for n, x in enumerate(model.inputs)]
    alone = [Fingerprints().numbers((1, positions // blocks, *x.shape[2:]), 1, n) for n, x in enumerate(model.inputs)]
    run(model, [_Both(*pair) for pair in zip(starts, alone, strict=True)], found.apply)
    if not found.layers:
        name, reason = next(iter(found.reasons.items()))
        raise ExactnessError(
            f"{name}: {reason}, so it cannot take one block of positions at a time, and no layer in front can. "
            f"Allowed: reuse=1, or {NEAREST.get(reason, IN_FRONT)}."
        )
    _require_factors(found, blocks)
    uncounted = tuple(
        path for path, layer in found.layers.items() if _factor(layer) is None and _counts_positions(layer)
    )
    end = next(iter(found.reasons.items()), None)
    return Repetition(tuple(found.layers), blocks, positions // blocks, uncounted, end)


@dataclass(frozen=True, eq=False)
class _Both:
    """An operand for all positions, and for a block alone."""

    whole: Fingerprint
    block: Fingerprint


@dataclass
class _Search:
    blocks: int
    layers: dict[str, keras.layers.Layer] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    behind: dict[str, keras.layers.Layer] = field(default_factory=dict)

    def apply(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves = [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, _Both | _Behind)]
        if any(isinstance(each, _Behind) for each in leaves):
            self.behind[path] = layer
            return _BEHIND
        try:
            whole = _stated(layer, path, args, kwargs, "whole")
        except (ExactnessError, NotImplementedError) as error:
            self.reasons[path] = f"its arithmetic cannot be compared between positions ({error})"
            self.behind[path] = layer
            return _BEHIND
        try:
            block = _stated(layer, path, args, kwargs, "block")
        except Exception:  # statements are of any plugin, and made for all positions
            block = None
        positions = {each.whole.first.shape[1] for each in leaves if isinstance(each, _Both)}
        reason = self._reason(keras.tree.flatten(whole), keras.tree.flatten(block), positions)
        if (path in self.layers and reason is not None) or (path in self.reasons and reason is None):
            raise ExactnessError(
                f"{path}: it is applied twice, and only once to one block of positions at a time. Allowed: reuse=1."
            )
        if reason is not None:
            self.reasons[path] = reason
            self.behind[path] = layer
            return _BEHIND
        self.layers[path] = layer
        return keras.tree.map_structure(_Both, whole, block)

    def _reason(self, whole: list[Fingerprint], block: list[Any], positions: set[int]) -> str | None:
        for each in whole:
            shape = each.first.shape
            if len(shape) < 2 or {shape[1]} != positions:
                entries = _words(positions)
                return f"its output {list(shape[1:])} does not have one entry for each of the {entries} positions"
        if not all(each.depend_alone(self.blocks) for each in whole):
            return MIXES
        for all_of, alone in zip(whole, block, strict=False):
            same = isinstance(alone, Fingerprint) and alone.first.shape[1] * self.blocks == all_of.first.shape[1]
            if not same or not np.array_equal(all_of.expression, np.concatenate([alone.expression] * self.blocks, 1)):
                return DIFFERS
        return None


class _Behind:
    """What a layer that is not repeated gives."""


_BEHIND = _Behind()


def _stated(layer: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any], which: str) -> Any:
    args, kwargs = keras.tree.map_structure(lambda x: getattr(x, which) if isinstance(x, _Both) else x, (args, kwargs))
    return exact(Fingerprints(path), layer, path, args, kwargs)


def _positions(model: keras.Model) -> int:
    sizes = {tensor.shape[1] if len(tensor.shape) > 1 else None for tensor in model.inputs}
    size = next(iter(sizes))
    if len(sizes) != 1 or size is None:
        shapes = ", ".join(f"{tensor.name} {list(tensor.shape[1:])}" for tensor in model.inputs)
        raise ConfigError(
            "reuse: needs inputs with the same static number of positions, their first axis behind the batch. "
            f"Received: {shapes}. Allowed: reuse=1."
        )
    return int(size)


def _words(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _counts_positions(layer: Any) -> bool:
    return hasattr(layer, "parallelization_factor")


def _factor(layer: Any) -> int | None:
    """Return how many positions the cost counts; None for all, or where the layer, a cell, does not know how many."""
    factor: int | None = getattr(layer, "parallelization_factor", None)
    return factor if hasattr(layer, "positions") else None


def _require_factors(found: _Search, blocks: int) -> None:
    for path, layer in found.layers.items():
        factor = _factor(layer)
        if factor is not None and factor * blocks != (positions := layer.positions()):
            fit = f"reuse={positions // factor}" if positions % factor == 0 else "another parallelization_factor"
            raise ConfigError(
                f"{path}: its EBOPs count parallelization_factor={factor} of {positions} positions, and reuse={blocks} "
                f"makes {positions / blocks:g}. Allowed: {fit}."
            )
    for path, layer in found.behind.items():
        factor = _factor(layer)
        if factor is not None and factor != (positions := layer.positions()):
            end, reason = next(iter(found.reasons.items()))
            raise ConfigError(
                f"{path}: its EBOPs count parallelization_factor={factor} of {positions} positions, and it is computed "
                f"for all at once, since of {end}, {reason}. Allowed: parallelization_factor=None, reuse=1, or another "
                "order of the layers."
            )
