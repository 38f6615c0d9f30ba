"""Kinds for the time of a test, as if an installed plugin offered them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hgq2_core.discovery.loading import GROUPS, KERAS
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, KindError, listing, nearest

KIND = re.compile(r"[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*")

Offered = type[Any] | Callable[..., Any] | str


@contextmanager
def registered(**groups: Mapping[str, Offered]) -> Iterator[None]:
    """Offer kinds until the block ends; then the registry is as before.

    Args:
        groups: for `quantizers`, `layers`, `callbacks`, `datasets`, `exporters` or `commands`, what each full kind is:
            a class (of commands, a function), or as in a hook `"module:name"`.

    Raises:
        KindError: there is no such group.
        ConfigError: a name that is no full kind, such as `mine.levels`, or that an installed plugin has.

    Example:
        >>> with registered(quantizers={"mine.levels": Levels}):
        ...     layer = QDense(2, kernel_quantizer={"kind": "mine.levels", "n": 3})
    """
    for group, kinds in groups.items():
        if group not in GROUPS:
            raise KindError(
                f"registered: unknown group. Received: {group!r}. Allowed: {listing(GROUPS)}.{nearest(group, GROUPS)}"
            )
        for kind in kinds:
            _check(group, kind)
    with registry().offering(groups):
        yield


def _check(group: str, kind: str) -> None:
    adapts = kind.startswith(f"{KERAS}.")
    if not KIND.fullmatch(kind) or (adapts and group != "layers"):
        more = f", or {KERAS}.<Layer>" if group == "layers" else ""
        raise ConfigError(
            f"registered: not a full kind of the {group}. Received: {kind!r}. Allowed: <plugin>.<name>{more}."
        )
    if kind in registry().names(group):
        raise ConfigError(
            f"registered: an installed plugin has this kind of the {group}. Received: {kind!r}. Allowed: another name."
        )
