"""What the class of a kind must be, by its group: for `hgq2 plugins --check`, and where a foreign class is used."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel

from hgq2_core.discovery.abstract import Abstract, abstract_methods, named
from hgq2_core.discovery.loading import KERAS
from hgq2_core.discovery.registry import lax, registry
from hgq2_core.errors import HGQ2Error, PluginError, listing


def check_class(group: str, kind: str) -> Any:
    """Return the class of a kind, after checking that it follows the protocol of its group.

    Args:
        group: `quantizers`, `layers`, `callbacks`, `datasets`, `exporters` or `commands`.
        kind: the full kind.

    Returns:
        The class; of commands, the function.

    Raises:
        PluginError: the class cannot be imported, has another base, lacks methods, or takes unchecked arguments.
    """
    cls = registry().command(kind) if group == "commands" else registry().load(group, kind)
    try:
        problem = PROTOCOLS["adapters" if kind.startswith(f"{KERAS}.") else group](cls)
    except HGQ2Error as error:
        raise PluginError(f"kind {kind!r}: {error}") from error
    if problem:
        raise PluginError(f"kind {kind!r}: {cls.__module__}:{cls.__qualname__} {problem}")
    return cls


def _quantizer(cls: type[Any]) -> str:
    from hgq2_core.quantizers.config import QuantizerConfig

    return _subclass(cls, QuantizerConfig) or _lacks(cls.missing_methods())


def _layer(cls: type[Any]) -> str:
    from hgq2_core.layers.base import QLayer

    return _subclass(cls, QLayer) or _lacks(cls.missing_methods()) or _described(cls)


def _adapter(cls: type[Any]) -> str:
    from hgq2_core.layers.adapters import KerasAdapter

    return _subclass(cls, KerasAdapter) or _lacks(cls.missing_methods())


def _callback(cls: type[Any]) -> str:
    import keras

    return _subclass(cls, keras.callbacks.Callback) or _half_a_state(cls) or _described(cls)


def _loss(cls: type[Any]) -> str:
    import keras

    return _named(cls, keras.losses.Loss, "call")


def _metric(cls: type[Any]) -> str:
    import keras

    return _named(cls, keras.metrics.Metric, "update_state", "result")


def _optimizer(cls: type[Any]) -> str:
    import keras

    return _named(cls, keras.optimizers.Optimizer, "update_step")


def _schedule(cls: type[Any]) -> str:
    import keras

    return _named(cls, keras.optimizers.schedules.LearningRateSchedule, "__call__", "get_config")


def _named(cls: type[Any], base: type[Any], *methods: str) -> str:
    """Return what is wrong with a class that stands beside those of Keras; empty if nothing is."""
    missing = [name for name in methods if getattr(cls, name, None) is getattr(base, name)]
    return _subclass(cls, base) or _lacks(missing) or _described(cls) or _forgets(cls, base)


def _forgets(cls: type[Any], base: type[Any]) -> str:
    """Return that a class with arguments does not say them to a file; empty if it does or has none."""
    from hgq2_core.schema.signature import parameters

    own = [name for name in parameters(cls) if name not in inspect.signature(base.__init__).parameters]
    return _lacks(["get_config"]) if own and cls.get_config is base.get_config else ""


def _dataset(cls: type[Any]) -> str:
    from hgq2_core.data.splits import Dataset

    return _offers(cls, Dataset) or _described(cls)


def _exporter(cls: type[Any]) -> str:
    from hgq2_core.exporting.exporter import Exporter

    return _offers(cls, Exporter)


def _command(function: Callable[..., Any]) -> str:
    taken = inspect.signature(function).parameters
    many = [name for name, each in taken.items() if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if many:
        return f"takes {', '.join(many)} as *args or **kwargs, which no command line fills; a list takes several words."
    untyped = [name for name, each in taken.items() if each.annotation is each.empty]
    if untyped:
        return f"takes {', '.join(untyped)} without a type."
    return "" if (function.__doc__ or "").strip() else "has no docstring, the first line of which is its help."


PROTOCOLS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "quantizers": _quantizer,
        "layers": _layer,
        "adapters": _adapter,
        "callbacks": _callback,
        "datasets": _dataset,
        "exporters": _exporter,
        "commands": _command,
        "losses": _loss,
        "metrics": _metric,
        "optimizers": _optimizer,
        "schedules": _schedule,
    }
)
"""For each group, a function that returns what is wrong with a class; empty if nothing is."""


def _subclass(cls: type[Any], base: type[Any]) -> str:
    name = f"{base.__module__.partition('.')[0]}.{base.__name__}"
    if not isinstance(cls, type):
        return f"is no class. Allowed: a subclass of {name}."
    if issubclass(cls, base):
        return ""
    return f"is of the wrong class. Received: {listing(each.__name__ for each in cls.__bases__)}. Allowed: {name}."


def _offers(cls: type[Any], base: type[Abstract]) -> str:
    """Return which methods of a base a class lacks, also a class with another base; empty if none."""
    methods = abstract_methods(base)
    return _lacks([name for name in methods if getattr(cls, name, None) in (None, getattr(base, name))])


def _half_a_state(cls: type[Any]) -> str:
    """Return which of two methods is missing that only work together; empty if none."""
    both = ("get_state", "set_state")
    missing = [name for name in both if not hasattr(cls, name)]
    return _lacks(missing) if len(missing) == 1 else ""


def _lacks(missing: list[str]) -> str:
    return f"does not define {named(missing)}." if missing else ""


def _described(cls: type[Any]) -> str:
    """Return which argument of a constructor would hide users' mistakes; empty if none would."""
    from hgq2_core.schema.signature import parameters, schema_of

    schema_of(cls)
    for parameter in parameters(cls).values():
        for model in _models(parameter.annotation):
            if settings := lax(model):
                return (
                    f"takes `{parameter.name}` by too lax a schema, {model.__name__}: it would hide users' "
                    f"mistakes. Received: {settings}."
                )
    return ""


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
