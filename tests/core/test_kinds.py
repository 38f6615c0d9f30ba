"""The registry: from names to classes and back, over little packages written to disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from hgq2_core.discovery import registry as kinds
from hgq2_core.discovery.known_plugins import BRINGS, DISTRIBUTIONS, install_hint, is_official
from hgq2_core.discovery.loading import GROUPS, load_plugins
from hgq2_core.discovery.registry import Registry, plugins
from hgq2_core.errors import KindError, PluginError

HOOKS = """
from hgq2_core.hookspecs import hookimpl

@hookimpl
def hgq2_quantizers():
    return {quantizers!r}

@hookimpl
def hgq2_layers():
    return {layers!r}
"""

PARTS = """
VALUE = 3
class KBI: ...
class Dense:
    class Inner: ...
class Alias: ...
class DropoutAdapter: ...
"""

Install = Callable[..., None]

KERAS_KINDS = {
    "layers": ", and keras.<Layer> (hgq2 list layers)",
    "callbacks": ", and keras.<Callback> (hgq2 list callbacks)",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0].startswith("little_")]:
        del sys.modules[module]


@pytest.fixture
def install(site: Path) -> Install:
    def install(
        name: str,
        *,
        quantizers: dict[str, str] | None = None,
        layers: dict[str, str] | None = None,
        parts: str = "",
        plugin: str = HOOKS,
        requires: str = "",
    ) -> None:
        package = site / f"little_{name}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "parts.py").write_text(parts)
        (package / "plugin.py").write_text(plugin.format(quantizers=quantizers or {}, layers=layers or {}))
        info = site / f"{name}_dist-1.0.dist-info"
        info.mkdir()
        required = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n{required}")
        (info / "entry_points.txt").write_text(f"[hgq2.plugins]\n{name} = little_{name}.plugin\n")

    return install


def build(site: Path, **environ: str) -> Registry:
    found = [entry for dist in metadata.distributions(path=[str(site)]) for entry in dist.entry_points]
    return Registry(load_plugins(found, environ))


@pytest.fixture
def registry(site: Path, install: Install) -> Registry:
    install(
        "acme",
        quantizers={"kbi": "little_acme.parts:KBI", "lost": "little_acme.nowhere:Lost"},
        layers={
            "dense": "little_acme.parts:Dense",
            "inner": "little_acme.parts:Dense.Inner",
            "alias": "little_acme.public:Alias",
            "gone": "little_acme.parts:Gone",
            "value": "little_acme.parts:VALUE",
            "exits": "little_acme.exits:Class",
            "keras.Dropout": "little_acme.parts:DropoutAdapter",
        },
        parts=PARTS,
    )
    (site / "little_acme" / "exits.py").write_text("raise SystemExit(1)")
    (site / "little_acme" / "public.py").write_text("from little_acme.parts import Alias")
    install("basic", layers={"dense": "little_basic.parts:Dense", "conv": "little_basic.parts:Conv"})
    return build(site)


def test_names_are_full_kinds_sorted(registry: Registry) -> None:
    assert registry.names("quantizers") == ("acme.kbi", "acme.lost")
    assert registry.names("layers")[-3:] == ("basic.conv", "basic.dense", "keras.Dropout")
    assert registry.names("exporters") == ()


def test_listing_and_resolving_import_no_class(registry: Registry) -> None:
    registry.resolve("quantizers", "kbi")
    assert "little_acme.parts" not in sys.modules


def test_an_unknown_sort(registry: Registry) -> None:
    with pytest.raises(KindError) as caught:
        registry.names("layer")
    assert str(caught.value) == (
        "unknown group of kinds. Received: 'layer'. Allowed: callbacks, commands, datasets, exporters, layers, "
        "losses, metrics, optimizers, quantizers, schedules. Did you mean 'layers'?"
    )


@pytest.mark.parametrize(
    ("group", "name", "kind"),
    [
        ("quantizers", "acme.kbi", "acme.kbi"),
        ("quantizers", "kbi", "acme.kbi"),
        ("layers", "conv", "basic.conv"),
        ("layers", "basic.dense", "basic.dense"),
        ("layers", "keras.Dropout", "keras.Dropout"),
    ],
)
def test_full_and_unique_short_names_resolve(registry: Registry, group: str, name: str, kind: str) -> None:
    assert registry.resolve(group, name) == kind


def test_an_ambiguous_short_name_lists_both(registry: Registry) -> None:
    with pytest.raises(KindError) as caught:
        registry.resolve("layers", "dense", "model.yaml: model.layers.0.kind")
    assert str(caught.value) == (
        "model.yaml: model.layers.0.kind: ambiguous layer kind. Received: 'dense'. Allowed: acme.dense, basic.dense. "
        "Write the full kind, such as 'acme.dense'."
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("kbi", ("quantizers", "acme.kbi")),
        ("basic.dense", ("layers", "basic.dense")),
        ("conv", ("layers", "basic.conv")),
    ],
)
def test_a_kind_is_found_whatever_its_sort(registry: Registry, name: str, found: tuple[str, str]) -> None:
    assert registry.find(name) == found


def test_a_name_of_several_kinds_lists_them_with_their_sorts(site: Path, install: Install) -> None:
    install("acme", quantizers={"table": "little_acme.parts:KBI"}, layers={"table": "little_acme.parts:Dense"})
    with pytest.raises(KindError) as caught:
        build(site).find("table", "show")
    assert str(caught.value) == (
        "show: ambiguous kind. Received: 'table'. "
        "Allowed: acme.table (one of the layers), acme.table (one of the quantizers)."
    )


def test_adapters_are_no_kinds_to_be_found(registry: Registry) -> None:
    for name in ("Dropout", "keras.Dropout"):
        with pytest.raises(KindError, match=f"^unknown kind. Received: '{name}'. Allowed: what `hgq2 list` shows."):
            registry.find(name)


def test_a_kind_that_is_not_found_gets_the_remedy(site: Path, install: Install) -> None:
    with pytest.raises(KindError) as unknown:
        Registry(()).find("minifloat.minifloat")
    assert str(unknown.value) == (
        "unknown kind. Received: 'minifloat.minifloat'. Allowed: what `hgq2 list` shows. "
        "It comes with hgq2-minifloat: pip install hgq2-minifloat "
        "(not on PyPI yet: pip install ./plugins/minifloat in a clone)"
    )
    with pytest.raises(KindError, match=r"It comes with hgq2-hls4ml: pip install hgq2-hls4ml \(not on PyPI yet"):
        Registry(()).resolve("exporters", "hls4ml")
    with pytest.raises(KindError, match=r"It may come with a plugin that is not installed: pip install hgq2-alkaid "):
        Registry(()).find("digits")
    install("acme", quantizers={"kbi": "little_acme.parts:KBI"})
    with pytest.raises(PluginError, match=r"^kind 'acme.kbi': plugin 'acme' \(acme-dist 1.0\) is blocked."):
        build(site, HGQ2_PLUGINS="none").find("acme.kbi")


def test_an_unknown_name_gets_the_nearest(registry: Registry) -> None:
    with pytest.raises(KindError) as caught:
        registry.resolve("quantizers", "kbj")
    assert str(caught.value) == (
        "unknown quantizer kind. Received: 'kbj'. Allowed: acme.kbi, acme.lost. Did you mean 'kbi'?"
    )


@pytest.mark.parametrize("name", [3, None, ["kbi"]])
def test_a_name_that_is_no_text(registry: Registry, name: object) -> None:
    with pytest.raises(KindError, match="unknown quantizer kind"):
        registry.resolve("quantizers", name)  # type: ignore[arg-type]


def test_a_kind_of_another_sort(registry: Registry) -> None:
    with pytest.raises(KindError) as caught:
        registry.resolve("quantizers", "conv")
    assert str(caught.value) == (
        "one of the layers, not of the quantizers. Received: 'conv'. Allowed: acme.kbi, acme.lost."
    )


@pytest.mark.parametrize(
    ("group", "name", "distribution"),
    [
        ("quantizers", "fixed_point.kbi", "hgq2-fixed-point"),
        ("quantizers", "minifloat.minifloat", "hgq2-minifloat"),
        ("layers", "layers.anything", "hgq2-layers"),
        ("layers", "keras.Flatten", "hgq2-layers"),
        ("layers", "attention.softmax", "hgq2-attention"),
        ("callbacks", "training.pareto_front", "hgq2-training"),
        ("datasets", "training.digits", "hgq2-training"),
        ("exporters", "alkaid.alkaid", "hgq2-alkaid"),
    ],
)
def test_our_own_distributions_are_known_by_the_prefix(group: str, name: str, distribution: str) -> None:
    with pytest.raises(KindError) as caught:
        Registry(()).resolve(group, name)
    assert str(caught.value) == (
        f"unknown {group[:-1]} kind. Received: {name!r}. Allowed: none{KERAS_KINDS.get(group, '')}. "
        f"It comes with {distribution}: {install_hint(distribution)}"
    )


def test_a_short_name_may_come_with_any_of_our_own_distributions_of_its_group(site: Path, install: Install) -> None:
    install("minifloat")
    with pytest.raises(KindError) as caught:
        build(site).resolve("quantizers", "kbi")
    assert str(caught.value) == (
        "unknown quantizer kind. Received: 'kbi'. Allowed: none. It may come with a plugin that is not installed: "
        f"{install_hint('hgq2-fixed-point')}"
    )


def test_what_our_plugins_bring_is_known_where_they_are_not_installed() -> None:
    for group in GROUPS:
        found = {plugin.name for plugin in plugins() if is_official(f"{plugin.name}.") and plugin.kinds[group]}
        assert set(BRINGS.get(group, ())) == found


def test_no_pip_install_for_a_plugin_that_is_there(site: Path, install: Install) -> None:
    install("fixed_point", quantizers={"kif": "little_fixed_point.parts:KIF"})
    with pytest.raises(KindError) as caught:
        build(site).resolve("quantizers", "fixed_point.kib")
    assert str(caught.value) == (
        "unknown quantizer kind. Received: 'fixed_point.kib'. Allowed: fixed_point.kif. Did you mean 'fixed_point.kif'?"
    )


def test_the_cause_of_a_failed_plugin(site: Path, install: Install) -> None:
    install("fixed_point", plugin="1 / 0")
    with pytest.raises(PluginError) as caught:
        build(site).resolve("quantizers", "fixed_point.kbi", "layers.0")
    assert str(caught.value) == (
        "layers.0: kind 'fixed_point.kbi': plugin 'fixed_point' (fixed_point-dist 1.0) is failed. "
        "ZeroDivisionError: division by zero. The traceback: hgq2 plugins --check"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.__cause__.__traceback__ is not None


def test_a_short_name_may_belong_to_a_failed_plugin(site: Path, install: Install) -> None:
    install("fixed_point", plugin="1 / 0")
    with pytest.raises(KindError) as caught:
        build(site).resolve("quantizers", "kbi", "layers.0")
    assert str(caught.value) == (
        "layers.0: unknown quantizer kind. Received: 'kbi'. Allowed: none. Not loaded: fixed_point (failed); "
        "`hgq2 plugins --check` says why."
    )


def test_the_adapters_of_failed_layers(site: Path, install: Install) -> None:
    install("layers", plugin="1 / 0")
    with pytest.raises(PluginError, match=r"kind 'keras\.Flatten': plugin 'layers'"):
        build(site).resolve("layers", "keras.Flatten")


def test_the_remedy_for_a_blocked_plugin(site: Path, install: Install) -> None:
    install("acme", layers={"dense": "little_acme.parts:Dense"})
    with pytest.raises(PluginError) as caught:
        build(site, HGQ2_PLUGINS="none").load("layers", "acme.dense")
    assert str(caught.value) == (
        "kind 'acme.dense': plugin 'acme' (acme-dist 1.0) is blocked. Add 'acme' to HGQ2_PLUGINS, or unset it."
    )


def test_the_remedy_for_an_incompatible_plugin(site: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme", layers={"dense": "little_acme.parts:Dense"}, requires="hgq2-core>=2")
    monkeypatch.setattr(metadata, "version", lambda name: "1.5")
    with pytest.raises(PluginError) as caught:
        build(site).resolve("layers", "acme.dense")
    assert str(caught.value) == (
        "kind 'acme.dense': plugin 'acme' (acme-dist 1.0) is incompatible. "
        "acme: needs another hgq2-core. Received: 1.5. Allowed: >=2. "
        "Install versions that fit: pip install --upgrade hgq2-core acme-dist"
    )
    assert isinstance(caught.value.__cause__, PluginError)


def test_an_unknown_short_name_says_what_is_not_loaded(site: Path, install: Install) -> None:
    install("acme", plugin="1 / 0")
    with pytest.raises(KindError) as caught:
        build(site).resolve("layers", "fancy")
    assert str(caught.value) == (
        "unknown layer kind. Received: 'fancy'. Allowed: none, and keras.<Layer> (hgq2 list layers). "
        "Not loaded: acme (failed); `hgq2 plugins --check` says why."
    )


def test_adapters_are_not_listed_as_if_no_other_keras_layer_were_allowed(registry: Registry) -> None:
    with pytest.raises(KindError) as caught:
        registry.resolve("layers", "value_")
    assert "Dropout" not in str(caught.value)
    assert "acme.value, basic.conv, basic.dense, and keras.<Layer> (hgq2 list layers)." in str(caught.value)


def test_load_imports_once(registry: Registry) -> None:
    cls = registry.load("layers", "acme.dense")
    assert cls is sys.modules["little_acme.parts"].Dense
    del sys.modules["little_acme.parts"]
    assert registry.load("layers", "acme.dense") is cls


def test_load_finds_nested_classes(registry: Registry) -> None:
    assert registry.load("layers", "inner").__qualname__ == "Dense.Inner"


@pytest.mark.parametrize(
    ("group", "name", "message", "cause"),
    [
        (
            "quantizers",
            "lost",
            "kind 'acme.lost': cannot import little_acme.nowhere:Lost. "
            "ModuleNotFoundError: No module named 'little_acme.nowhere'",
            ModuleNotFoundError,
        ),
        (
            "layers",
            "gone",
            "kind 'acme.gone': cannot import little_acme.parts:Gone. "
            "AttributeError: module 'little_acme.parts' has no attribute 'Gone'",
            AttributeError,
        ),
        ("layers", "exits", "kind 'acme.exits': cannot import little_acme.exits:Class. SystemExit: 1", SystemExit),
        ("layers", "value", "kind 'acme.value': little_acme.parts:VALUE is not a class. Received: 3.", type(None)),
    ],
)
def test_a_class_that_cannot_be_imported(
    registry: Registry, group: str, name: str, message: str, cause: type[BaseException | None]
) -> None:
    with pytest.raises(PluginError) as caught:
        registry.load(group, name, "layers.0")
    assert str(caught.value) == f"layers.0: {message}"
    assert isinstance(caught.value.__cause__, cause)


def test_kind_of_goes_back(registry: Registry) -> None:
    assert registry.kind_of("layers", registry.load("layers", "acme.dense")) == "acme.dense"
    assert registry.kind_of("layers", registry.load("layers", "inner")) == "acme.inner"


def test_kind_of_finds_a_class_offered_through_a_re_export(registry: Registry) -> None:
    alias = registry.load("layers", "alias")
    assert alias.__module__ == "little_acme.parts"
    assert registry.kind_of("layers", alias) == "acme.alias"


def test_kind_of_imports_no_other_package(registry: Registry) -> None:
    registry.kind_of("layers", registry.load("layers", "alias"))
    assert "little_basic.parts" not in sys.modules


def test_kind_of_is_none_for_subclasses_and_strangers(registry: Registry) -> None:
    dense = registry.load("layers", "acme.dense")
    assert registry.kind_of("layers", type("Mine", (dense,), {"__module__": "little_acme.mine"})) is None
    assert registry.kind_of("quantizers", dense) is None
    assert registry.kind_of("layers", int) is None


def test_adapter(registry: Registry) -> None:
    adapter = registry.adapter("Dropout")
    assert adapter is not None
    assert adapter.__name__ == "DropoutAdapter"
    assert registry.adapter("Dense") is None


def test_the_registry_of_the_process_is_loaded_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme", layers={"dense": "little_acme.parts:Dense"})
    monkeypatch.setenv("HGQ2_PLUGINS", "acme")
    monkeypatch.delenv("HGQ2_STRICT", raising=False)
    kinds.registry.cache_clear()
    try:
        assert kinds.registry() is kinds.registry()
        assert kinds.registry().names("layers") == ("acme.dense",)
        assert kinds.plugins() is kinds.registry().plugins
    finally:
        kinds.registry.cache_clear()  # what other tests see is theirs to load


def test_the_prefixes_of_our_own_distributions_are_the_names_of_their_plugins() -> None:
    ours = {plugin.name: plugin.distribution for plugin in plugins() if plugin.distribution.startswith("hgq2-")}
    assert ours == {name: distribution for name, distribution in DISTRIBUTIONS.items() if name in ours}
    assert {"fixed_point", "layers", "training"} <= ours.keys()
