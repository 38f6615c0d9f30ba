"""The part of the kit that needs nothing but a kind: `hgq2 plugins --check` runs it on all that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from hgq2_core.discovery.loading import KERAS
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.signature import parameters
from hgq2_core.testing import callbacks, compiled, datasets, exporters, layers, quantizers
from hgq2_core.testing.commands import command_checks
from hgq2_core.testing.constructors import has_json_schema
from hgq2_core.testing.rules import Check, checks

LEFT_OUT = frozenset(
    rule.__name__
    for rule in (
        *(compiled.is_a_number_with_a_gradient, compiled.begins_anew),  # of targets and outputs that only tests know
        *(datasets.loads, *datasets.PART_RULES),  # of files, or of a download
        *exporters.RULES,  # of a model that the exporter takes
        *(quantizers.trains, quantizers.imports_no_backend),  # seconds
    )
)


def quick_checks(group: str, kind: str) -> Iterator[Check]:
    """Yield the checks of a kind that need no data and take no time to speak of.

    A constructor is called without arguments; of one that cannot be made so, only what its class says is
    checked.

    Args:
        group: such as `quantizers` or `commands`.
        kind: the full kind, whose class is what `check_class` asks for.
    """
    if not kind.startswith(f"{KERAS}."):  # an adapter needs a layer
        yield from (check for check in QUICK[group](kind) if check.id not in LEFT_OUT)


def _quantizer(kind: str) -> Iterator[Check]:
    cls = registry().load("quantizers", kind)
    return iter(()) if _refuses_defaults(cls) else quantizers.quantizer_checks(cls())


def _layer(kind: str) -> Iterator[Check]:
    subject = layers.subject_of({"kind": kind}, (1,))
    of_the_class = (has_json_schema, layers.states_its_cost, layers.has_our_keras_name)
    return checks(of_the_class if _needs_arguments(subject.cls) else layers.CLASS_RULES, subject)


def _constructed(group: str, all_checks: Callable[[Mapping[str, Any]], Iterator[Check]], kind: str) -> Iterator[Check]:
    return iter(()) if _needs_arguments(registry().load(group, kind)) else all_checks({"kind": kind})


def _exporter(kind: str) -> Iterator[Check]:
    nothing: Any = None  # the rules that look at a model are left out
    return exporters.exporter_checks(kind, nothing, nothing)


def _needs_arguments(cls: type[Any]) -> bool:
    return any(parameter.required for parameter in parameters(cls).values()) or _refuses_defaults(cls)


def _refuses_defaults(cls: type[Any]) -> bool:
    """Return whether a class cannot be made without arguments, such as one that takes either of two."""
    try:
        cls()
    except ValueError:  # of pydantic, or a ConfigError
        return True
    return False


QUICK: Mapping[str, Callable[[str], Iterator[Check]]] = MappingProxyType(
    {
        "quantizers": _quantizer,
        "layers": _layer,
        "callbacks": partial(_constructed, "callbacks", callbacks.callback_checks),
        "datasets": partial(_constructed, "datasets", datasets.dataset_checks),
        "exporters": _exporter,
        "commands": partial(command_checks, imports=False),
        "losses": partial(_constructed, "losses", compiled.loss_checks),
        "metrics": partial(_constructed, "metrics", compiled.metric_checks),
        "optimizers": partial(_constructed, "optimizers", compiled.optimizer_checks),
        "schedules": partial(_constructed, "schedules", compiled.schedule_checks),
    }
)
"""For each group, the checks of a kind, of which `LEFT_OUT` are not run."""
