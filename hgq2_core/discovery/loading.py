"""Finds and loads plugins, each on its own, so that a broken one does not affect the others."""

from __future__ import annotations

import inspect
import os
import re
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from types import MappingProxyType
from typing import Any, Literal

import pluggy

from hgq2_core import hookspecs
from hgq2_core.discovery.known_plugins import DISTRIBUTIONS
from hgq2_core.errors import ConfigError, HGQ2Error, PluginError, listing, nearest

State = Literal["loaded", "failed", "incompatible", "blocked"]

CORE = "hgq2-core"
NAMED_GROUPS = ("losses", "metrics", "optimizers", "schedules")
"""Groups of kinds that stand beside the classes of Keras, which configs name without a prefix."""
CONFIG_GROUPS = ("quantizers", "layers", "callbacks", "datasets", "exporters", *NAMED_GROUPS)
"""Groups of kinds that config files and models name."""
GROUPS = (*CONFIG_GROUPS, "commands")
"""All groups of kinds that plugins offer; the hooks are named `hgq2_<group>`."""
KERAS = "keras"
# HGQ2_PLUGINS=none blocks every plugin.
RESERVED = (KERAS, "none")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KERAS_LAYER = re.compile(r"keras\.([A-Z][A-Za-z0-9]*|ops\.[a-z][a-z0-9_]*)")
_SPEC = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def singular(group: str) -> str:
    """Return the name of one item of a group, for messages and the JSON schema."""
    group = group.rpartition(".")[2]
    return "loss" if group == "losses" else group.removesuffix("s")


def _frozen(kinds: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
    return MappingProxyType({group: MappingProxyType(dict(kinds.get(group, {}))) for group in GROUPS})


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: its distribution, its state and its kinds.

    Args:
        name: name of the entry point, which is the prefix of its kinds.
        distribution: name of the distribution that owns it; empty if unknown.
        version: version of that distribution.
        location: folder in which the distribution is installed.
        value: the entry point's target, a module with hook implementations.
        state: `loaded`, `failed`, `incompatible` (with the installed core) or `blocked` (by `HGQ2_PLUGINS`).
        kinds: for every group, a mapping from full kind to `"module:Class"`; empty unless the plugin is loaded.
        error: why it is failed or incompatible, with the traceback.
        seconds: time that loading took.
    """

    name: str
    distribution: str
    version: str
    location: str
    value: str
    state: State
    kinds: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _frozen({}))
    error: BaseException | None = None
    seconds: float = 0.0

    @property
    def owner(self) -> str:
        """Distribution and version; the entry point's target if the distribution is unknown."""
        return f"{self.distribution} {self.version}".strip() or self.value

    def unusable(self, where: str = "") -> PluginError:
        """Return an error that says why the plugin cannot be used and what to do; raise it `from plugin.error`.

        Args:
            where: what needs the plugin, for the message.

        Returns:
            The error to raise.
        """
        prefix = f"{where}: " if where else ""
        cause = "" if self.error is None else f" {_format_error(self.error).rstrip('.')}."
        remedy = {
            "blocked": f"Add {self.name!r} to HGQ2_PLUGINS, or unset it.",
            "incompatible": f"Install versions that fit: pip install --upgrade {CORE} {self.distribution}",
        }.get(self.state, "The traceback: hgq2 plugins --check")
        return PluginError(f"{prefix}plugin {self.name!r} ({self.owner}) is {self.state}.{cause} {remedy}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, with the error as text."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "location": self.location,
            "value": self.value,
            "state": self.state,
            "kinds": {group: dict(kinds) for group, kinds in self.kinds.items()},
            "error": None if self.error is None else _format_error(self.error),
            "seconds": self.seconds,
        }


def load_plugins(
    entry_points: Iterable[metadata.EntryPoint] | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Plugin, ...]:
    """Load every plugin; those of this repository come first, whatever the order of installation and the names.

    `HGQ2_PLUGINS` is a comma-separated allow-list, or `none`; an empty one means unset. `HGQ2_STRICT=1` makes the
    first failure raise.

    Args:
        entry_points: the entry points to load; by default the installed ones of the group `hgq2.plugins`.
        environ: the environment with both variables; by default `os.environ`.

    Returns:
        One `Plugin` for each entry point, whatever its state, sorted by name.

    Raises:
        PluginError: with `HGQ2_STRICT=1`, a plugin is failed or incompatible, or an allowed one is not installed.
        ConfigError: `HGQ2_STRICT` is neither 0 nor 1.
    """
    environ = os.environ if environ is None else environ
    strict = _strict(environ)
    found = _found(metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP) if entry_points is None else entry_points)
    allowed = _allowed(environ, [blocked.name for _, blocked in found], strict)
    plugins: list[Plugin] = []
    for entry_point, blocked in found:
        free = allowed is None or blocked.name in allowed
        plugin = _load(entry_point, blocked, plugins) if free else blocked
        if strict and plugin.error is not None:
            raise plugin.unusable() from plugin.error
        plugins.append(plugin)
    return tuple(sorted(plugins, key=lambda plugin: plugin.name))


def _format_error(error: BaseException) -> str:
    return str(error) if isinstance(error, HGQ2Error) else f"{type(error).__name__}: {error}"


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _strict(environ: Mapping[str, str]) -> bool:
    value = environ.get("HGQ2_STRICT", "")
    if value not in ("", "0", "1"):
        raise ConfigError(f"HGQ2_STRICT: unknown value. Received: {value!r}. Allowed: 0, 1.")
    return value == "1"


def _allowed(environ: Mapping[str, str], installed: Sequence[str], strict: bool) -> frozenset[str] | None:
    names = frozenset(filter(None, map(str.strip, environ.get("HGQ2_PLUGINS", "").split(","))))
    if not names:
        return None
    if names == {"none"}:
        return frozenset()
    for name in sorted(names.difference(installed)):
        message = (
            f"HGQ2_PLUGINS: plugin that is not installed. Received: {name!r}. "
            f"Allowed: {listing({*installed, 'none'})}.{nearest(name, installed)}"
        )
        if strict:
            raise PluginError(message)
        warnings.warn(message, stacklevel=3)
    return names


def _found(entry_points: Iterable[metadata.EntryPoint]) -> list[tuple[metadata.EntryPoint, Plugin]]:
    """Return each entry point with a blocked plugin; the first on sys.path hides others of the same distribution.

    Plugins of this repository come first: if two plugins claim one name or one Keras layer, the foreign one fails.
    """
    first: dict[tuple[str, str], tuple[metadata.EntryPoint, Plugin]] = {}
    for entry_point in entry_points:
        plugin = _blocked(entry_point)
        owner = _canonical(plugin.distribution) or plugin.value
        first.setdefault((plugin.name, owner), (entry_point, plugin))
    return [first[key] for key in sorted(first, key=lambda key: (DISTRIBUTIONS.get(key[0]) != key[1], key))]


def _blocked(entry_point: metadata.EntryPoint) -> Plugin:
    distribution, version, location = "", "", ""
    if entry_point.dist is not None:
        try:
            location = str(entry_point.dist.locate_file(""))
            distribution, version = entry_point.dist.name or "", entry_point.dist.version or ""
        except Exception:  # unreadable metadata cost this plugin's owner, and must not affect other plugins
            distribution = version = ""
    return Plugin(entry_point.name, distribution, version, location, entry_point.value, "blocked")


def _load(entry_point: metadata.EntryPoint, blocked: Plugin, others: Sequence[Plugin]) -> Plugin:
    start = time.perf_counter()
    state: State = "failed"
    kinds: Mapping[str, Mapping[str, str]] = {}
    cause: BaseException | None = None
    try:
        _check_name(blocked, others)
        if mismatch := _core_mismatch(entry_point):
            state = "incompatible"
            raise PluginError(mismatch)
        offered = _offered(blocked.name, entry_point.load())
        _check_adapters(blocked, offered, others)
        state, kinds = "loaded", offered
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin that calls sys.exit() must not end the program either
        cause = error
    return replace(blocked, state=state, kinds=_frozen(kinds), error=cause, seconds=time.perf_counter() - start)


def _check_name(plugin: Plugin, others: Sequence[Plugin]) -> None:
    if not _NAME.fullmatch(plugin.name):
        raise PluginError(f"plugin name: not an identifier. Received: {plugin.name!r}. Allowed: {_NAME.pattern}.")
    if plugin.name in RESERVED:
        raise PluginError(f"plugin name: reserved. Received: {plugin.name!r}. Allowed: any but {listing(RESERVED)}.")
    for other in others:
        if other.name == plugin.name:
            raise PluginError(
                f"{plugin.name}: plugin offered by two distributions, {other.owner} and {plugin.owner}. Uninstall one."
            )


def _core_mismatch(entry_point: metadata.EntryPoint) -> str:
    """Return why the installed core does not meet the requirement in the metadata; empty if it does."""
    from packaging.requirements import Requirement  # imported here: it takes a third of this module's import time

    for line in (entry_point.dist.requires if entry_point.dist else None) or ():
        requirement = Requirement(line)
        if _canonical(requirement.name) != CORE:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(CORE)
        except metadata.PackageNotFoundError:  # run from a source tree: there is no version to compare with
            return ""
        if not requirement.specifier.contains(installed, prereleases=True):
            return f"{entry_point.name}: needs another {CORE}. Received: {installed}. Allowed: {requirement.specifier}."
    return ""


def _offered(plugin: str, module: Any) -> dict[str, dict[str, str]]:
    """Call the hooks of one plugin and check the mappings that they return."""
    # A separate manager, so that a plugin that fails half-way leaves no hooks behind.
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, plugin)
    _check_hooks(plugin, module, manager)
    kinds: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    for group in GROUPS:
        hook = f"hgq2_{group}"
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            # Called directly: pluggy drops a result of None, which is usually a forgotten return.
            mapping = implementation.function()
            where = f"{plugin}.{hook}"
            if not isinstance(mapping, Mapping):
                raise PluginError(f"{where}: not a mapping. Received: {mapping!r}. Allowed: {{name: 'module:Class'}}.")
            for name, spec in mapping.items():
                kinds[group][_full_kind(where, plugin, group, name)] = _checked_spec(where, name, spec)
    return kinds


def _check_hooks(plugin: str, module: Any, manager: pluggy.PluginManager) -> None:
    hooks = [f"hgq2_{group}" for group in GROUPS]
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec() and not all(implementation.optionalhook for implementation in caller.get_hookimpls()):
            raise PluginError(
                f"{plugin}: unknown hook. Received: {caller.name!r}. "
                f"Allowed: {listing(hooks)}.{nearest(caller.name, hooks)}"
            )
    for name, member in getattr(module, "__dict__", {}).items():
        # pluggy ignores functions without the marker, and the plugin would silently offer nothing.
        mine = inspect.isfunction(member) and member.__module__ == getattr(module, "__name__", None)
        if mine and name.startswith("hgq2_") and not hasattr(member, "hgq2_impl"):
            raise PluginError(f"{plugin}: hook without @hookimpl. Received: {name!r}. Allowed: @hookimpl def {name}().")


def _full_kind(where: str, plugin: str, group: str, name: object) -> str:
    if isinstance(name, str):
        if _NAME.fullmatch(name):
            return f"{plugin}.{name}"
        if group == "layers" and _KERAS_LAYER.fullmatch(name):
            return name
    adapters = ", keras.<Layer>, or keras.ops.<function>" if group == "layers" else ""
    wrong = (
        "kind outside its prefix" if isinstance(name, str) and "." in name else "kind name that is not an identifier"
    )
    raise PluginError(
        f"{where}: {wrong}. Received: {name!r}. "
        f"Allowed: {_NAME.pattern} (the plugin's own name is put in front){adapters}."
    )


def _checked_spec(where: str, name: str, spec: object) -> str:
    if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
        raise PluginError(
            f"{where}, {name!r}: not a reference to a class. Received: {spec!r}. Allowed: 'module:Class'."
        )
    return spec


def _check_adapters(plugin: Plugin, offered: Mapping[str, Mapping[str, str]], others: Sequence[Plugin]) -> None:
    for other in others:
        for kind in sorted(offered["layers"].keys() & other.kinds["layers"].keys()):
            raise PluginError(
                f"{plugin.name}.hgq2_layers: {kind!r} is offered by two plugins, "
                f"{other.name} ({other.owner}) and {plugin.name} ({plugin.owner}). "
                f"Uninstall one, or leave it out of HGQ2_PLUGINS."
            )
