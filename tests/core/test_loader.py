"""Loading plugins: real little packages with metadata of their own, one test per rule."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from importlib import metadata
from pathlib import Path
from textwrap import dedent

import pytest

from hgq2_core.discovery.loading import GROUPS, Plugin, load_plugins
from hgq2_core.errors import ConfigError, PluginError

LAYERS = "return {'dense': 'acme_parts:Dense'}"


def hook(body: str, name: str = "hgq2_layers") -> str:
    return f"from hgq2_core.hookspecs import hookimpl\n\n@hookimpl\ndef {name}():\n    {body}\n"


class Site:
    """A folder on sys.path to install little distributions in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(
        self, name: str, source: str, *, distribution: str = "", requires: str = "", version: str = "1.0"
    ) -> None:
        distribution = distribution or f"{name.lower()}-dist"
        module = f"little_{distribution.replace('-', '_')}"
        self.path.mkdir(exist_ok=True)
        (self.path / f"{module}.py").write_text(dedent(source))
        self.metadata(distribution, version, requires, f"[hgq2.plugins]\n{name} = {module}\n")

    def metadata(self, distribution: str, version: str, requires: str = "", entry_points: str = "") -> None:
        folder = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"]
        lines += [f"Requires-Dist: {requires}\n"] if requires else []
        (folder / "METADATA").write_text("".join(lines))
        (folder / "entry_points.txt").write_text(entry_points)

    def load(self, *more: Path, **environ: str) -> tuple[Plugin, ...]:
        found = metadata.distributions(path=[str(self.path), *map(str, more)])
        return load_plugins([entry for dist in found for entry in dist.entry_points], environ)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield Site(folder)
    for module in [name for name in sys.modules if name.startswith("little_")]:
        del sys.modules[module]


def failure(plugin: Plugin) -> str:
    assert plugin.state in ("failed", "incompatible")
    assert not any(plugin.kinds.values())
    return str(plugin.error)


def test_a_plugin_is_loaded_with_full_kinds(site: Site) -> None:
    site.install("acme", hook(LAYERS), version="1.2")
    (plugin,) = site.load()
    assert (plugin.name, plugin.distribution, plugin.version) == ("acme", "acme-dist", "1.2")
    assert (plugin.location, plugin.value) == (str(site.path), "little_acme_dist")
    assert (plugin.state, plugin.error) == ("loaded", None)
    assert plugin.seconds > 0
    assert tuple(plugin.kinds) == GROUPS
    assert plugin.kinds["layers"] == {"acme.dense": "acme_parts:Dense"}


@pytest.mark.parametrize("group", GROUPS)
def test_each_sort_has_its_hook(site: Site, group: str) -> None:
    site.install("acme", hook("return {'thing': 'acme_parts.deep:Outer.Inner'}", f"hgq2_{group}"))
    (plugin,) = site.load()
    assert {s: dict(kinds) for s, kinds in plugin.kinds.items() if kinds} == {
        group: {"acme.thing": "acme_parts.deep:Outer.Inner"}
    }


def test_a_plugin_cannot_be_changed(site: Site) -> None:
    site.install("acme", hook(LAYERS))
    (plugin,) = site.load()
    with pytest.raises(FrozenInstanceError):
        plugin.state = "failed"  # type: ignore[misc]
    with pytest.raises(TypeError):
        plugin.kinds["layers"]["acme.other"] = "a:B"  # type: ignore[index]


def test_to_dict_is_json(site: Site) -> None:
    site.install("acme", hook(LAYERS))
    site.install("bad", "1 / 0")
    good, bad = (json.loads(json.dumps(plugin.to_dict())) for plugin in site.load())
    assert good["kinds"]["layers"] == {"acme.dense": "acme_parts:Dense"}
    assert good["error"] is None
    assert bad["error"] == "ZeroDivisionError: division by zero"


def test_plugins_are_sorted_by_name_whatever_the_order_of_entry_points(site: Site) -> None:
    for name in ("b", "c", "a"):
        site.install(name, hook(LAYERS))
    assert [plugin.name for plugin in site.load()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "statement", ["import not_there_at_all", "raise SystemExit(3)", "raise GeneratorExit", "def ("]
)
def test_a_plugin_that_breaks_on_import_changes_nothing_for_others(site: Site, statement: str) -> None:
    site.install("a", hook(LAYERS))
    site.install("b", statement)
    site.install("c", hook(LAYERS))
    assert [plugin.state for plugin in site.load()] == ["loaded", "failed", "loaded"]


def test_the_exception_keeps_its_traceback(site: Site) -> None:
    site.install("acme", "def fail():\n    raise OSError('no disk')\nfail()\n")
    (plugin,) = site.load()
    assert isinstance(plugin.error, OSError)
    assert traceback.extract_tb(plugin.error.__traceback__)[-1].name == "fail"


def test_keyboard_interrupt_is_passed_on(site: Site) -> None:
    site.install("acme", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.load()


def test_a_plugin_is_loaded_all_or_nothing(site: Site) -> None:
    site.install("acme", hook(LAYERS) + hook("raise RuntimeError('half-way')", "hgq2_quantizers"))
    (plugin,) = site.load()
    assert failure(plugin) == "half-way"


def test_a_misspelt_hook_fails_its_plugin(site: Site) -> None:
    site.install("acme", hook(LAYERS, "hgq2_layer"))
    (plugin,) = site.load()
    assert failure(plugin) == (
        "acme: unknown hook. Received: 'hgq2_layer'. Allowed: hgq2_callbacks, hgq2_commands, hgq2_datasets, "
        "hgq2_exporters, hgq2_layers, hgq2_losses, hgq2_metrics, hgq2_optimizers, hgq2_quantizers, "
        "hgq2_schedules. Did you mean 'hgq2_layers'?"
    )


def test_an_optional_hook_of_a_newer_core_is_passed_over(site: Site) -> None:
    site.install("acme", hook(LAYERS, "hgq2_boards").replace("@hookimpl", "@hookimpl(optionalhook=True)"))
    assert site.load()[0].state == "loaded"


def test_a_hook_without_its_mark_fails_its_plugin(site: Site) -> None:
    site.install("acme", hook(LAYERS).replace("@hookimpl", ""))
    (plugin,) = site.load()
    assert failure(plugin) == (
        "acme: hook without @hookimpl. Received: 'hgq2_layers'. Allowed: @hookimpl def hgq2_layers()."
    )


def test_a_hook_with_arguments_fails_its_plugin(site: Site) -> None:
    site.install("acme", hook(LAYERS).replace("hgq2_layers()", "hgq2_layers(config)"))
    (plugin,) = site.load()
    assert "hgq2_layers" in failure(plugin)
    assert "config" in failure(plugin)


@pytest.mark.parametrize("result", ["None", "['dense']"])
def test_a_hook_returns_a_mapping(site: Site, result: str) -> None:
    site.install("acme", hook(f"return {result}"))
    (plugin,) = site.load()
    assert failure(plugin) == (
        f"acme.hgq2_layers: not a mapping. Received: {result}. Allowed: {{name: 'module:Class'}}."
    )


@pytest.mark.parametrize("spec", ["'acme_parts.Dense'", "'acme_parts:'", "':Dense'", "'a b:C'", "'a:B\\n'", "object"])
def test_a_hook_maps_to_references(site: Site, spec: str) -> None:
    site.install("acme", hook(f"return {{'dense': {spec}}}"))
    (plugin,) = site.load()
    assert failure(plugin).startswith("acme.hgq2_layers, 'dense': not a reference to a class. Received: ")
    assert failure(plugin).endswith(". Allowed: 'module:Class'.")


@pytest.mark.parametrize("name", ["Dense", "1d", "a-b", "", "_x"])
def test_kind_names_are_identifiers(site: Site, name: str) -> None:
    site.install("acme", hook(f"return {{{name!r}: 'a:B'}}", "hgq2_quantizers"))
    (plugin,) = site.load()
    assert failure(plugin) == (
        f"acme.hgq2_quantizers: kind name that is not an identifier. Received: {name!r}. "
        "Allowed: [a-z][a-z0-9_]* (the plugin's own name is put in front)."
    )


def test_adapters_keep_the_name_of_their_keras_layer(site: Site) -> None:
    site.install("acme", hook("return {'keras.Conv2D': 'a:B'}"))
    assert dict(site.load()[0].kinds["layers"]) == {"keras.Conv2D": "a:B"}


@pytest.mark.parametrize("name", ["other.dense", "acme.dense", "keras.dense", "keras.layers.Dense"])
def test_any_other_dotted_name_is_outside_the_prefix(site: Site, name: str) -> None:
    site.install("acme", hook(f"return {{{name!r}: 'a:B'}}"))
    (plugin,) = site.load()
    assert failure(plugin) == (
        f"acme.hgq2_layers: kind outside its prefix. Received: {name!r}. "
        "Allowed: [a-z][a-z0-9_]* (the plugin's own name is put in front), keras.<Layer>, or keras.ops.<function>."
    )


def test_only_layers_are_adapters(site: Site) -> None:
    site.install("acme", hook("return {'keras.Dense': 'a:B'}", "hgq2_quantizers"))
    assert "kind outside its prefix" in failure(site.load()[0])


def test_two_adapters_for_one_keras_layer_name_both_plugins(site: Site) -> None:
    site.install("a", hook("return {'keras.Dropout': 'a:B'}"))
    site.install("b", hook("return {'keras.Dropout': 'b:B', 'dense': 'b:C'}"))
    first, second = site.load()
    assert first.state == "loaded"
    assert failure(second) == (
        "b.hgq2_layers: 'keras.Dropout' is offered by two plugins, a (a-dist 1.0) and b (b-dist 1.0). "
        "Uninstall one, or leave it out of HGQ2_PLUGINS."
    )


@pytest.mark.parametrize("name", ["keras", "none"])
def test_reserved_plugin_names(site: Site, name: str) -> None:
    site.install(name, hook(LAYERS))
    assert failure(site.load()[0]) == f"plugin name: reserved. Received: {name!r}. Allowed: any but keras, none."


@pytest.mark.parametrize("name", ["Acme", "ac-me", "ac.me"])
def test_plugin_names_are_identifiers(site: Site, name: str) -> None:
    site.install(name, hook(LAYERS), distribution="acme-dist")
    assert failure(site.load()[0]) == f"plugin name: not an identifier. Received: {name!r}. Allowed: [a-z][a-z0-9_]*."


def test_a_distribution_twice_on_the_path_is_loaded_once(site: Site, tmp_path: Path) -> None:
    site.install("acme", hook(LAYERS), version="2.0")
    other = Site(tmp_path / "other")
    other.install("acme", hook(LAYERS), distribution="Acme_Dist", version="1.0")
    (plugin,) = site.load(other.path)
    assert (plugin.state, plugin.version) == ("loaded", "2.0")


def test_two_distributions_with_one_plugin_name_are_both_named(site: Site) -> None:
    site.install("acme", hook(LAYERS), distribution="first")
    site.install("acme", hook(LAYERS), distribution="second", version="3.0")
    first, second = site.load()
    assert (first.state, second.state) == ("loaded", "failed")
    assert failure(second) == "acme: plugin offered by two distributions, first 1.0 and second 3.0. Uninstall one."


@pytest.mark.parametrize(
    ("requires", "state"),
    [
        ("hgq2-core>=2", "incompatible"),
        ("HGQ2_Core<1.5", "incompatible"),
        ("hgq2-core>=1.5,<2", "loaded"),
        ("hgq2-core", "loaded"),
        ("hgq2-core[torch]>=9; extra == 'new'", "loaded"),
        ("other>=9", "loaded"),
    ],
)
def test_the_requirement_on_the_core_is_read_before_import(site: Site, requires: str, state: str) -> None:
    site.metadata("hgq2-core", "1.5")
    site.install("acme", hook(LAYERS), requires=requires)
    (plugin,) = site.load()
    assert plugin.state == state
    assert ("little_acme_dist" in sys.modules) == (state == "loaded")


def test_the_message_of_an_incompatible_plugin(site: Site) -> None:
    site.metadata("hgq2-core", "1.5")
    site.install("acme", hook(LAYERS), requires="hgq2-core>=2")
    assert failure(site.load()[0]) == "acme: needs another hgq2-core. Received: 1.5. Allowed: >=2."


def test_without_an_installed_core_there_is_nothing_to_compare(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme", hook(LAYERS), requires="hgq2-core>=999")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert site.load()[0].state == "loaded"


def test_the_allow_list_blocks_all_others_without_importing_them(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.install(name, hook(LAYERS))
    assert [plugin.state for plugin in site.load(HGQ2_PLUGINS=" a, c,")] == ["loaded", "blocked", "loaded"]
    assert "little_b_dist" not in sys.modules


@pytest.mark.parametrize(("value", "state"), [("none", "blocked"), ("", "loaded"), (" ", "loaded")])
def test_none_blocks_everything_and_empty_nothing(site: Site, value: str, state: str) -> None:
    site.install("acme", hook(LAYERS))
    assert site.load(HGQ2_PLUGINS=value)[0].state == state


NOT_INSTALLED = (
    "HGQ2_PLUGINS: plugin that is not installed. Received: 'acmee'. Allowed: acme, none. Did you mean 'acme'?"
)


def test_an_allowed_name_that_is_not_installed_is_a_warning(site: Site) -> None:
    site.install("acme", hook(LAYERS))
    with pytest.warns(UserWarning, match=f"^{re.escape(NOT_INSTALLED)}$"):
        (plugin,) = site.load(HGQ2_PLUGINS="acmee")
    assert plugin.state == "blocked"


def test_strict_refuses_an_allowed_name_that_is_not_installed(site: Site) -> None:
    site.install("acme", hook(LAYERS))
    with pytest.raises(PluginError) as caught:
        site.load(HGQ2_PLUGINS="acmee", HGQ2_STRICT="1")
    assert str(caught.value) == NOT_INSTALLED


def test_strict_raises_at_once_from_the_cause(site: Site) -> None:
    site.install("a", "1 / 0")
    site.install("b", hook(LAYERS))
    with pytest.raises(PluginError) as caught:
        site.load(HGQ2_STRICT="1")
    assert str(caught.value) == (
        "plugin 'a' (a-dist 1.0) is failed. ZeroDivisionError: division by zero. The traceback: hgq2 plugins --check"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert "little_b_dist" not in sys.modules


def test_strict_refuses_an_incompatible_plugin(site: Site) -> None:
    site.metadata("hgq2-core", "1.5")
    site.install("acme", hook(LAYERS), requires="hgq2-core>=2")
    with pytest.raises(PluginError) as caught:
        site.load(HGQ2_STRICT="1")
    assert str(caught.value) == (
        "plugin 'acme' (acme-dist 1.0) is incompatible. acme: needs another hgq2-core. Received: 1.5. Allowed: >=2. "
        "Install versions that fit: pip install --upgrade hgq2-core acme-dist"
    )


def test_strict_lets_blocked_plugins_be(site: Site) -> None:
    site.install("acme", "1 / 0")
    assert site.load(HGQ2_PLUGINS="none", HGQ2_STRICT="1")[0].state == "blocked"


def test_strict_is_0_or_1(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"^HGQ2_STRICT: unknown value\. Received: 'yes'\. Allowed: 0, 1\.$"):
        site.load(HGQ2_STRICT="yes")


def test_installed_entry_points_and_the_environment_are_the_default(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", hook(LAYERS))
    monkeypatch.setenv("HGQ2_PLUGINS", "acme")
    monkeypatch.delenv("HGQ2_STRICT", raising=False)
    assert [plugin.name for plugin in load_plugins() if plugin.state == "loaded"] == ["acme"]


def test_an_entry_point_without_distribution_is_named_by_its_value(site: Site) -> None:
    (plugin,) = load_plugins([metadata.EntryPoint("acme", "not_there", "hgq2.plugins")], {})
    assert (plugin.distribution, plugin.owner, plugin.state) == ("", "not_there", "failed")


def test_importing_and_listing_is_light(site: Site) -> None:
    site.install("acme", hook(LAYERS))
    code = (
        "import sys, hgq2_core.discovery.registry as kinds\n"
        "assert 'little_acme_dist' not in sys.modules\n"
        "assert 'acme.dense' in kinds.registry().names('layers')\n"
        "print(*{'keras', 'torch', 'numpy', 'jax', 'tensorflow'} & sys.modules.keys())"
    )
    environ = {"PYTHONPATH": f"{site.path}:{Path(__file__).parents[2]}", "HGQ2_PLUGINS": "acme"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
