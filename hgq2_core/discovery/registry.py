"""The registry of kinds: from the name in a configuration to the class, and back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from types import MappingProxyType
from typing import Any

from hgq2_core.discovery.backends import lacks_backend, no_backend
from hgq2_core.discovery.known_plugins import BRINGS, COMMANDS, DISTRIBUTIONS, install_hint, is_official
from hgq2_core.discovery.loading import CONFIG_GROUPS, GROUPS, KERAS, NAMED_GROUPS, Plugin, load_plugins, singular
from hgq2_core.discovery.saved_names import register_class, register_names
from hgq2_core.errors import KindError, PluginError, listing, nearest

# No plugin provides kinds of Keras: an adapter under such a name only gives the layer exact arithmetic.
KERAS_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "layers": f"{KERAS}.<Layer> (hgq2 list layers)",
        "callbacks": f"{KERAS}.<Callback> (hgq2 list callbacks)",
        **{group: f"those of Keras (hgq2 list {group})" for group in NAMED_GROUPS},
    }
)


CORE_KINDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"quantizers": MappingProxyType({"none": "hgq2_core.quantizers.none:NoQuantizer"})}
)
"""The core's own, values that mean the same whatever is installed; no plugin's short name hides them."""

STRICT: Mapping[str, object] = MappingProxyType(
    {"extra": "forbid", "frozen": True, "strict": True, "allow_inf_nan": False}
)
"""Settings that every pydantic model of a kind must have."""


@dataclass(frozen=True, eq=False)
class Registry:
    """Every kind that plugins offer; a class is imported when it is first needed.

    Args:
        plugins: the plugins, as `load_plugins` returns them.
    """

    plugins: tuple[Plugin, ...]

    def names(self, group: str) -> tuple[str, ...]:
        """Return the full kinds of one group, sorted.

        Args:
            group: such as `quantizers` or `layers`.

        Returns:
            The full kinds, `<plugin>.<name>` or `keras.<Layer>`.

        Raises:
            KindError: if there is no such group.
        """
        return tuple(self._specs_of(group))

    def resolve(self, group: str, name: str, where: str = "") -> str:
        """Return the full kind of a full name, or of a short name that is unique.

        Args:
            group: such as `quantizers` or `layers`.
            name: full kind or short name.
            where: the place that names it, such as a file and a path in it, for messages.

        Returns:
            The full kind.

        Raises:
            KindError: if the name is unknown, ambiguous or of another group.
            PluginError: if its plugin is failed, incompatible or blocked.
        """
        prefix = f"{where}: " if where else ""
        matches = _matches(name, self._specs_of(group))
        if name in list(CORE_KINDS.get(group, ())):
            return name
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise KindError(
                f"{prefix}ambiguous {singular(group)} kind. Received: {name!r}. Allowed: {listing(matches)}. "
                f"Write the full kind, such as {_likeliest(matches)!r}."
            )
        others = [other for other in CONFIG_GROUPS if _matches(name, self._specs[other])]
        if not others:
            self._check_plugin_of(str(name), prefix)
        raise KindError(prefix + self._unknown(group, name, others))

    def find(self, name: str, where: str = "") -> tuple[str, str]:
        """Return the group and full kind of a name, which may be of any group; adapters of Keras layers are left out.

        Args:
            name: full kind or short name.
            where: the place that names it, for messages.

        Returns:
            The group and the full kind.

        Raises:
            KindError: if the name is unknown or ambiguous.
            PluginError: if its plugin is failed, incompatible or blocked.
        """
        prefix = f"{where}: " if where else ""
        for group, values in CORE_KINDS.items():
            if name in list(values):
                return group, name
        ours = {
            group: [kind for kind in self._specs[group] if not kind.startswith(f"{KERAS}.")] for group in CONFIG_GROUPS
        }
        matches = [(group, kind) for group in CONFIG_GROUPS for kind in _matches(name, ours[group])]
        if len(matches) == 1:
            return matches[0]
        if matches:
            allowed = listing(f"{kind} (one of the {group})" for group, kind in matches)
            kinds = list(dict.fromkeys(kind for _, kind in matches))
            remedy = f" Write the full kind, such as {_likeliest(kinds)!r}." if len(kinds) > 1 else ""
            raise KindError(f"{prefix}ambiguous kind. Received: {name!r}. Allowed: {allowed}.{remedy}")
        self._check_plugin_of(name, prefix)
        advice = self._advice(name, _plugin_name(name), [kind for kinds in ours.values() for kind in kinds])
        advice = advice or self.not_installed()
        raise KindError(f"{prefix}unknown kind. Received: {name!r}. Allowed: what `hgq2 list` shows.{advice}")

    def load(self, group: str, name: str, where: str = "") -> type[Any]:
        """Return the class of a kind, imported once.

        Args:
            group: such as `quantizers` or `layers`.
            name: full kind or short name.
            where: the place that names it, for messages.

        Returns:
            The class.

        Raises:
            KindError: if the name is unknown, ambiguous or of another group.
            PluginError: if its plugin, or the class, cannot be loaded.
        """
        kind = self.resolve(group, name, where)
        if (group, kind) not in self._classes:
            self._classes[group, kind] = _import_class(kind, self.spec(group, kind), where)
            register_class(group, kind, self._classes[group, kind])
        return self._classes[group, kind]

    def command(self, name: str, where: str = "") -> Callable[..., Any]:
        """Return the function of a subcommand of `hgq2`.

        Args:
            name: full kind or short name.
            where: the place that names it, for messages.

        Returns:
            The function, whose typed parameters are the command's arguments and options.

        Raises:
            KindError: if the name is unknown or ambiguous.
            PluginError: if its plugin, or the function, cannot be loaded.
        """
        kind = self.resolve("commands", name, where)
        function = self._classes.get(("commands", kind)) or _import(kind, self._specs["commands"][kind], where)
        if isinstance(function, type) or not callable(function):
            prefix = f"{where}: " if where else ""
            raise PluginError(f"{prefix}command {kind!r} is not a function. Received: {function!r}.")
        return function  # type: ignore[no-any-return]

    @contextmanager
    def offering(self, groups: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
        """Have further kinds until the block ends, for `hgq2_core.testing.registered`.

        Args:
            groups: for each group, full kind to the class, the function, or `"module:name"`.
        """
        specs, objects = self._specs, self._classes
        before, loaded = {group: dict(specs[group]) for group in groups}, dict(objects)
        for group, kinds in groups.items():
            for kind, offered in kinds.items():
                if isinstance(offered, str):
                    specs[group][kind] = offered
                    continue
                specs[group][kind] = f"{offered.__module__}:{offered.__qualname__}"
                # Local to a function, or of a module that is not imported under its name, as a page's example.
                if getattr(sys.modules.get(offered.__module__), offered.__qualname__, None) is not offered:
                    objects[group, kind] = offered
        try:
            yield
        finally:
            for group, kinds in before.items():
                specs[group].clear()
                specs[group].update(kinds)
            objects.clear()
            objects.update(loaded)

    def spec(self, group: str, kind: str) -> str:
        """Return where a full kind is defined, as `"module:name"`, without importing it."""
        return {**self._specs_of(group), **CORE_KINDS.get(group, {})}[kind]

    def kind_of(self, group: str, cls: type[Any]) -> str | None:
        """Return the kind of exactly this class, not of its bases.

        Args:
            group: such as `quantizers` or `layers`.
            cls: a class.

        Returns:
            The full kind, or None if no plugin offers the class.

        Raises:
            KindError: if there is no such group.
        """
        specs = {**CORE_KINDS.get(group, {}), **self._specs_of(group)}
        exact = f"{cls.__module__}:{cls.__qualname__}"
        for kind, spec in specs.items():
            if spec == exact:
                return kind
        # A package may offer its class under the name of a module that re-exports it.
        package = cls.__module__.partition(".")[0]
        for kind, spec in specs.items():
            if spec.partition(":")[0].partition(".")[0] == package:
                with suppress(PluginError):  # a broken kind is reported when it is used
                    if self.load(group, kind) is cls:
                        return kind
        return None

    def adapter(self, keras_class_name: str) -> type[Any] | None:
        """Return the adapter that gives a Keras layer its exact arithmetic.

        Args:
            keras_class_name: name of a layer class in `keras.layers`.

        Returns:
            The adapter, or None if no plugin offers one.

        Raises:
            PluginError: if the adapter cannot be imported.
        """
        kind = f"{KERAS}.{keras_class_name}"
        if kind not in self._specs["layers"]:
            return None
        # Asked for in every count of EBOPs: a name is looked up once.
        return self._classes.get(("layers", kind)) or self.load("layers", kind)

    @cached_property
    def _specs(self) -> Mapping[str, dict[str, str]]:
        return {
            group: dict(sorted(item for plugin in self.plugins for item in plugin.kinds[group].items()))
            for group in GROUPS
        }

    @cached_property
    def _classes(self) -> dict[tuple[str, str], type[Any]]:
        return {}

    def _specs_of(self, group: str) -> Mapping[str, str]:
        if group not in GROUPS:
            raise KindError(
                f"unknown group of kinds. Received: {group!r}. Allowed: {listing(GROUPS)}.{nearest(group, GROUPS)}"
            )
        return self._specs[group]

    def _check_plugin_of(self, name: str, prefix: str) -> None:
        """Raise if the kind belongs to a plugin that could not be loaded."""
        owner = _plugin_name(name)
        for plugin in self.plugins:
            if plugin.name == owner and plugin.state != "loaded":
                raise plugin.unusable(f"{prefix}kind {name!r}") from plugin.error

    def _unknown(self, group: str, name: object, others: list[str]) -> str:
        specs = self._specs[group]
        wrong = (
            f"one of the {' and '.join(others)}, not of the {group}" if others else f"unknown {singular(group)} kind"
        )
        owner = _plugin_name(str(name)) or (COMMANDS.get(str(name), "") if group == "commands" else "")
        advice = self._advice(name, "" if others else owner, specs)
        advice = advice or ("" if others else self.not_installed(group))
        return f"{wrong}. Received: {name!r}. Allowed: {_allowed(group, specs)}.{advice}"

    def _advice(self, name: object, owner: str, kinds: Iterable[str]) -> str:
        """Return what to install, or the nearest kind and the plugins that are not loaded."""
        # A short name may be that of a whole plugin, as those of exporters are.
        if missing := self.comes_with(owner or str(name)):
            return missing
        kinds = [kind for kind in kinds if not kind.startswith(f"{KERAS}.ops.")]  # no config names an operation so
        return nearest(name, [*kinds, *map(_short, kinds)]) + self.not_loaded()

    def comes_with(self, plugin: str) -> str:
        """Return a sentence with the distribution to install for a plugin; empty unless it is one that is absent."""
        absent = self.absent()
        return f" It comes with {absent[plugin]}: {install_hint(absent[plugin])}" if plugin in absent else ""

    def absent(self) -> dict[str, str]:
        """Return the distributions of this repository that are not installed, by the prefix of their kinds."""
        installed = {plugin.name for plugin in self.plugins}
        return {name: distribution for name, distribution in DISTRIBUTIONS.items() if name not in installed}

    def not_loaded(self) -> str:
        """Return a sentence with the installed plugins that are not loaded; empty if all are."""
        unloaded = [f"{plugin.name} ({plugin.state})" for plugin in self.plugins if plugin.state != "loaded"]
        return f" Not loaded: {listing(unloaded)}; `hgq2 plugins --check` says why." if unloaded else ""

    def not_installed(self, group: str | None = None) -> str:
        """Return a sentence with the plugins of this repository that are not installed; empty if all are.

        Args:
            group: only those that bring kinds of this group; None for all.
        """
        plugins = DISTRIBUTIONS if group is None else BRINGS.get(group, ())
        absent = sorted(distribution for name, distribution in self.absent().items() if name in plugins)
        return f" It may come with a plugin that is not installed: {install_hint(*absent)}" if absent else ""


def lax(cls: type[Any]) -> str:
    """Return the settings of a pydantic model that would hide users' mistakes; empty for other classes."""
    settings = getattr(cls, "model_config", STRICT)
    return ", ".join(f"{name}={settings.get(name)!r}" for name, value in STRICT.items() if settings.get(name) != value)


@cache
def registry() -> Registry:
    """Return the registry of this process; the first call loads the installed plugins.

    Raises:
        PluginError: under `HGQ2_STRICT=1`, if a plugin cannot be loaded.
    """
    loaded = Registry(load_plugins())
    register_names(loaded)
    return loaded


def plugins() -> tuple[Plugin, ...]:
    """Return the installed plugins, with their origin and state.

    Returns:
        One `Plugin` for each entry point, sorted by name.

    Raises:
        PluginError: under `HGQ2_STRICT=1`, if a plugin cannot be loaded.
    """
    return registry().plugins


def _short(kind: str) -> str:
    return kind.partition(".")[2]


def _allowed(group: str, specs: Mapping[str, str]) -> str:
    ours = listing(kind for kind in specs if not kind.startswith(f"{KERAS}."))
    return f"{ours}, and {KERAS_KINDS[group]}" if group in KERAS_KINDS else ours


def _matches(name: object, kinds: Iterable[str]) -> list[str]:
    return [kind for kind in kinds if name in (kind, _short(kind))]


def _likeliest(kinds: Sequence[str]) -> str:
    """Return the kind that a short name most likely means: an official one, as in configs older than other plugins."""
    return next(filter(is_official, kinds), kinds[0])


def _plugin_name(name: str) -> str:
    """Return the plugin of a full name, empty for a short one; adapters of Keras layers belong to `layers`."""
    owner, dot, _ = name.partition(".")
    return ("layers" if owner == KERAS else owner) if dot else ""


def _import(kind: str, spec: str, where: str) -> Any:
    module, _, qualname = spec.partition(":")
    try:
        return reduce(getattr, qualname.split("."), importlib.import_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that calls sys.exit() must not end the program
        prefix = f"{where}: " if where else ""
        if lacks_backend(error):
            raise no_backend(f"{prefix}kind {kind!r}") from error
        raise PluginError(f"{prefix}kind {kind!r}: cannot import {spec}. {type(error).__name__}: {error}") from error


def _import_class(kind: str, spec: str, where: str) -> type[Any]:
    prefix = f"{where}: " if where else ""
    loaded = _import(kind, spec, where)
    if not isinstance(loaded, type):
        raise PluginError(f"{prefix}kind {kind!r}: {spec} is not a class. Received: {loaded!r}.")
    if settings := lax(loaded):
        raise PluginError(
            f"{prefix}kind {kind!r}: {spec} is too lax a schema: it would hide users' mistakes. "
            f"Received: {settings}. Allowed: a QuantizerConfig, with its model_config."
        )
    return loaded
