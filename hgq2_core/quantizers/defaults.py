"""Defaults by role, scopes that change them, and how a slot's fields are filled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any

from pydantic import Field

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError
from hgq2_core.quantizers.config import ROLES, AnyQuantizer, QuantizerConfig, Role
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_core.schema.base import StrictModel, as_config_error

EBOPS_BETA = 1e-5
"""Weight of the EBOPs in the loss."""

BIT_LEARNING_RATE_SCALE = 8.0
"""Learning rate of bits, relative to that of weights: bits move in steps of one. docs/recipe.md has what was tried."""

OUTPUT = "output_quantizer"
SWITCHES: Mapping[str, str] = {name: f"{name}s" for name in ("input_quantizer", OUTPUT, "state_quantizer")}
"""The entry of a scope that switches a slot, by the layer's argument."""

ROLE_DEFAULTS: Mapping[Role, Mapping[str, Any]] = {
    "weight": {
        "kind": "fixed_point.kbi", "k": 1, "b": 8, "i": 2, "round_mode": "RND", "overflow_mode": "SAT_SYM",
        "granularity": "element", "b_bounds": [0, 23], "i_bounds": [-23, 23], "b_regularizer": 1e-8,
    },
    "bias": {
        "kind": "fixed_point.kbi", "k": 1, "b": 8, "i": 2, "round_mode": "RND", "overflow_mode": "WRAP",
        "granularity": "element", "b_bounds": [0, 24], "i_bounds": [-8, 23], "b_regularizer": 1e-8,
    },
    "table": {
        "kind": "fixed_point.kbi", "k": 1, "b": 8, "i": 2, "round_mode": "RND_CONV", "overflow_mode": "SAT",
        "granularity": "tensor", "b_bounds": [0, 23], "i_bounds": [-23, 23], "b_regularizer": 1e-8,
    },
    "activation": {
        "kind": "fixed_point.kif", "k": 1, "i": 2, "f": 6, "round_mode": "RND", "overflow_mode": "WRAP",
        "granularity": "element", "i_bounds": [-23, 23], "f_bounds": [-24, 24], "i_decay": 0.01,
        "i_regularizer": 1e-8, "f_regularizer": 1e-8,
    },
}  # fmt: skip
"""Kind and fields of each role; data, so that core knows no quantizer."""


class ScopeEntries(StrictModel):
    """What a scope may set: a quantizer per role, switches of slots, and the cost's weight in the loss.

    A switch is for the slots that layers leave unset: False is without a quantizer, True with that of the role, and a
    quantizer's config, kind or mapping is that quantizer.

    Args:
        input_quantizers: the switch of `input_quantizer`; the parts of a layer, such as projections, have none.
        output_quantizers: the switch of `output_quantizer`; without one, outputs have none.
        state_quantizers: the switch of `state_quantizer`.
        ebops_beta: weight of the EBOPs in the loss.
        enable_ebops: whether layers count EBOPs at all.
    """

    weight: AnyQuantizer | None = None
    bias: AnyQuantizer | None = None
    activation: AnyQuantizer | None = None
    table: AnyQuantizer | None = None
    input_quantizers: bool | AnyQuantizer | None = None
    output_quantizers: bool | AnyQuantizer | None = None
    state_quantizers: bool | AnyQuantizer | None = None
    ebops_beta: Annotated[float, Field(ge=0)] | None = None
    enable_ebops: bool | None = None


@dataclass(frozen=True)
class _Scope:
    entries: ScopeEntries
    outer: _Scope | None


_scope: ContextVar[_Scope | None] = ContextVar("hgq2_scope", default=None)
_switching: ContextVar[bool] = ContextVar("hgq2_switching", default=True)


class defaults:
    """Scope of defaults for the layers made inside it.

    Args:
        entries: `weight`, `bias`, `activation` and `table`, each a quantizer's config, kind or mapping;
            `input_quantizers`, `output_quantizers` and `state_quantizers`, the switches; `ebops_beta`; `enable_ebops`.
            See `ScopeEntries`.

    Raises:
        ConfigError: an unknown key, or a value that its quantizer refuses.

    Example:
        >>> with defaults(weight=KBI(b=6), ebops_beta=1e-6):
        ...     layer = QDense(32)
    """

    def __init__(self, **entries: Any) -> None:
        with as_config_error("defaults"):
            self.entries = ScopeEntries(**entries)

    def override(self) -> None:
        """Enter the scope for good: its entries hold for all layers made later in this thread or task."""
        _scope.set(_Scope(self.entries, _scope.get()))

    def __enter__(self) -> defaults:
        _scope.set(_Scope(self.entries, _scope.get()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scope = _scope.get()
        if scope is None or scope.entries is not self.entries:
            raise ConfigError("defaults: scopes must be left in the order in which they were entered.")
        _scope.set(scope.outer)


def scoped(name: str) -> Any:
    """Return the innermost scope's entry of that name, or None."""
    scope = _scope.get()
    while scope is not None:
        entry = getattr(scope.entries, name)
        if entry is not None:
            return entry
        scope = scope.outer
    return None


def switched(argument: str) -> QuantizerConfig | None:
    """Return what the switches of scopes put into a slot that a layer leaves unset; None to leave it so.

    Args:
        argument: the layer's argument, such as `output_quantizer`.
    """
    switch = scoped(SWITCHES[argument]) if argument in SWITCHES and _switching.get() else None
    if isinstance(switch, QuantizerConfig):
        return switch
    output = argument == OUTPUT
    if switch is False and not output:
        return NoQuantizer()
    return adapted("activation", lambda config: config) if switch and output else None


@contextmanager
def without_switches() -> Iterator[None]:
    """Make layers whose arguments are complete: parts of another layer, or from a file."""
    token = _switching.set(False)
    try:
        yield
    finally:
        _switching.reset(token)


@dataclass(frozen=True)
class Resolved:
    """A slot's complete config, and for each field the place it came from: `slot`, `scope`, `role` or `class`."""

    config: QuantizerConfig
    sources: Mapping[str, str]


def role_default(role: Role) -> QuantizerConfig:
    """Return the config of a role's default, with only the role's own fields set."""
    fields = dict(ROLE_DEFAULTS[role])
    cls = registry().load("quantizers", fields.pop("kind"))
    return cls.model_validate(fields)  # type: ignore[no-any-return]


def adapted(
    role: Role, change: Callable[[QuantizerConfig], QuantizerConfig], keep: Collection[str] = ()
) -> QuantizerConfig:
    """Return the default of a role as a capability changes it, such as `lambda config: config.unsigned()`.

    Only what changes is set: the rest still comes from scope, role and class when the slot is filled.

    Args:
        role: the slot's role.
        change: gives another config.
        keep: the sources whose fields stay, such as `scope` for what the user has said.
    """
    default = resolve(None, role)
    changed = change(default.config)
    if type(changed) is not type(default.config):
        return changed
    before = {name: getattr(default.config, name) for name in type(changed).model_fields}
    after = {
        name: getattr(changed, name)
        for name, value in before.items()
        if getattr(changed, name) != value and default.sources[name] not in keep
    }
    return changed.model_construct(set(after), **before | after)


def resolve(given: QuantizerConfig | None, role: Role, where: str = "") -> Resolved:
    """Fill the fields that a slot leaves unset.

    From the innermost scope's entry for the role if that is of the same kind, then from the role's default if that is,
    then from the class.

    Args:
        given: what the user put into the slot; None takes the scope's or the role's kind.
        role: the slot's role.
        where: the slot, for messages.

    Raises:
        ConfigError: fields that are each right but do not go together.
    """
    if role not in ROLES:
        raise ConfigError(f"{where}: unknown role. Received: {role!r}. Allowed: {', '.join(ROLES)}.")
    entry = scoped(role)
    chosen = given or entry or role_default(role)
    default = role_default(role) if _is_default_kind(chosen, role) else None
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field, info in type(chosen).model_fields.items():
        for source, config in (("slot", given), ("scope", entry), ("role", default)):
            if type(config) is type(chosen) and field in config.model_fields_set:
                values[field], sources[field] = getattr(config, field), source
                break
        else:
            values[field], sources[field] = info.get_default(call_default_factory=True), "class"
    with as_config_error(where):
        return Resolved(type(chosen).model_validate(values), sources)


def _is_default_kind(config: QuantizerConfig, role: Role) -> bool:
    return bool(registry().kind_of("quantizers", type(config)) == ROLE_DEFAULTS[role]["kind"])
