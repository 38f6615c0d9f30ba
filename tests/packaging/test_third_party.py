"""Plugins of others, as real wheels: a good one end to end, and broken ones beside it that take nothing down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"

pytestmark = pytest.mark.slow


def python(site, *arguments, cwd):
    """Run Python in a fresh process, with folders of installed distributions in front."""
    path = os.pathsep.join([*map(str, site), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=300)


def answer(process):
    """What a process printed last, as JSON."""
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def install(target, *wheels):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    process = subprocess.run(
        [*command, "--target", str(target), *map(str, wheels)], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example's wheel, built as its build backend builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from flit_core import buildapi; print(buildapi.build_wheel(sys.argv[1]))"
    process = subprocess.run([sys.executable, "-c", build, str(folder)], cwd=EXAMPLE, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return folder / process.stdout.strip()


@pytest.fixture(scope="module")
def site(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, example)
    return folder


@pytest.fixture(scope="module")
def run_directory(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train = ["-m", "hgq2_core.cli.main", "train", EXAMPLE / "digits.yaml", "-o", folder, "--epochs", "3"]
    process = python([site], *train, cwd=folder.parent)
    assert process.returncode == 0, process.stderr
    return folder


def test_it_keeps_the_rules_of_the_conformance_kit(site, tmp_path):
    process = python([site], "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE / "tests", cwd=tmp_path)
    assert process.returncode == 0, process.stdout


def test_it_is_listed_without_importing_its_classes(site, tmp_path):
    script = """
        import json, sys
        from hgq2_core.discovery.registry import registry
        kinds = {sort: [kind for kind in registry().names(sort) if kind.startswith("acme.")] for sort in
                 ("quantizers", "layers")}
        modules = sorted(name for name in sys.modules if name.startswith("acme_quantizers"))
        print(json.dumps([kinds, modules, "keras" in sys.modules]))
    """
    kinds, modules, keras_imported = answer(python([site], "-c", dedent(script), cwd=tmp_path))
    assert kinds == {"quantizers": ["acme.levels"], "layers": ["acme.layer_scale"]}
    assert modules == ["acme_quantizers", "acme_quantizers.plugin"]
    assert not keras_imported


def test_the_command_line_lists_it(site, tmp_path):
    listed = python([site], "-m", "hgq2_core.cli.main", "list", "quantizers", cwd=tmp_path)
    assert "  acme.levels\n" in listed.stdout


def test_its_command_runs_without_a_backend(site, tmp_path):
    run = python([site], "-m", "hgq2_core.cli.main", "levels", "--n", "2", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "-0.5 -0.25 0.0 0.25 0.5\n")


def test_its_model_is_trained_from_a_file_and_verified(run_directory):
    metrics = json.loads((run_directory / "metrics.json").read_text())
    assert metrics["verify"] == {"mismatches": 0, "samples": 449}
    assert metrics["versions"]["acme-quantizers"] == "1.0.0"
    assert metrics["test"]["accuracy"] > 0.5


def test_its_model_loads_in_a_fresh_process_that_imports_the_core_alone(site, run_directory, tmp_path):
    script = f"""
        import json
        import hgq2_core, keras
        from pathlib import Path
        folder = Path({str(run_directory)!r})
        test = hgq2_core.load_config(folder / "config.yaml").load_data().test.x
        found = {{}}
        for load in (keras.saving.load_model, hgq2_core.load_model):
            model = load(folder / "model.keras")
            report = hgq2_core.verify(model, test)
            package = load.__module__.partition(".")[0]
            found[package] = [report.mismatches, report.samples, type(model.layers[2]).__name__]
        print(json.dumps(found))
    """
    wanted = [0, 449, "QLayerScale"]
    assert answer(python([site], "-c", dedent(script), cwd=tmp_path)) == {"keras": wanted, "hgq2_core": wanted}


def test_its_model_without_it_names_what_is_missing(run_directory, tmp_path):
    process = python([], "-m", "hgq2_core.cli.main", "verify", run_directory, cwd=tmp_path)
    assert process.returncode == 2
    assert "unknown quantizer kind. Received: 'acme.levels'." in process.stderr
    assert "Traceback" not in process.stderr


# --- broken ones ------------------------------------------------------------------------------------------------------

HOOK = """
from hgq2_core.hookspecs import hookimpl


@hookimpl
def {hook}():
    return {kinds}
"""

OFFERS_NOTHING = HOOK.format(hook="hgq2_quantizers", kinds={})

LAX = """
from pydantic import BaseModel


class Lax(BaseModel):
    b: int = 3
"""

BROKEN = {
    # plugin name: the module plugin.py, and the error that the plugin shows
    "needs_module": (
        "import no_such_module",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "bad_syntax": ("def :", "SyntaxError: invalid syntax (plugin.py, line 1)"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "misspelt": (
        HOOK.format(hook="hgq2_quantizer", kinds={}),
        "misspelt: unknown hook. Received: 'hgq2_quantizer'. Allowed: hgq2_callbacks, hgq2_commands, "
        "hgq2_datasets, hgq2_exporters, "
        "hgq2_layers, hgq2_losses, hgq2_metrics, hgq2_optimizers, hgq2_quantizers, hgq2_schedules. "
        "Did you mean 'hgq2_quantizers'?",
    ),
    "outside": (
        HOOK.format(hook="hgq2_layers", kinds={"layers.dense": "outside.plugin:Dense"}),
        "outside.hgq2_layers: kind outside its prefix. Received: 'layers.dense'. "
        "Allowed: [a-z][a-z0-9_]* (the plugin's own name is put in front), keras.<Layer>, or keras.ops.<function>.",
    ),
    "dotted": (
        HOOK.format(hook="hgq2_quantizers", kinds={"mine": "os.system"}),
        "dotted.hgq2_quantizers, 'mine': not a reference to a class. Received: 'os.system'. Allowed: 'module:Class'.",
    ),
}


def wheel(folder, distribution, plugin, source, requires="hgq2-core", **modules):
    """Write a wheel of one package, version 1.0."""
    name = distribution.replace("-", "_")
    package = f"{name}_package"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": "",
        f"{package}/plugin.py": source,
        **{f"{package}/{module}.py": text for module, text in modules.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\nRequires-Dist: {requires}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[hgq2.plugins]\n{plugin} = {package}.plugin\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(member, text)
    return path


@pytest.fixture(scope="module")
def broken_sites(example, tmp_path_factory):
    """The good plugin among broken ones, one of which is installed twice."""
    folder = tmp_path_factory.mktemp("broken")
    wheels = [wheel(folder, f"x-{name.replace('_', '-')}", name, source) for name, (source, _) in BROKEN.items()]
    wheels.append(wheel(folder, "x-old", "old", "raise RuntimeError('imported')", requires="hgq2-core>=9"))
    lax = HOOK.format(hook="hgq2_quantizers", kinds={"lax": "x_lax_package.lax:Lax"})
    wheels.append(wheel(folder, "x-lax", "lax", lax, lax=LAX))
    wheels += [wheel(folder, f"x-twin-{letter}", "twin", OFFERS_NOTHING) for letter in "ab"]
    again = wheel(folder, "x-again", "again", OFFERS_NOTHING)
    install(folder / "first", example, again, *wheels)
    install(folder / "second", again)
    return [folder / "first", folder / "second"]


@pytest.fixture(scope="module")
def told(broken_sites, tmp_path_factory):
    """What one process says of all of them."""
    script = f"""
        import json
        import hgq2_core
        from hgq2_core.discovery.registry import registry

        def cause(sort, kind):
            try:
                registry().load(sort, kind)
            except hgq2_core.HGQ2Error as error:
                return [type(error).__name__, str(error)]

        plugins = [plugin.to_dict() for plugin in hgq2_core.plugins()]
        causes = {{name: cause("quantizers", name + ".any") for name in {[*BROKEN, "old", "twin"]}}}
        causes["lax"] = cause("quantizers", "lax")
        config = hgq2_core.load_config({str(EXAMPLE / "digits.yaml")!r})
        print(json.dumps({{"plugins": plugins, "causes": causes, "weights": config.build().count_params()}}))
    """
    process = python(broken_sites, "-c", dedent(script), cwd=tmp_path_factory.mktemp("cwd"))
    return answer(process)


def states(told):
    found = {}
    for plugin in told["plugins"]:
        found.setdefault(plugin["name"], []).append(plugin["state"])
    return found


def test_each_broken_plugin_is_told_from_the_sound_ones(told):
    found = states(told)
    assert [name for name in BROKEN if found[name] != ["failed"]] == []
    assert [name for name in ("acme", "fixed_point", "layers", "training") if found[name] != ["loaded"]] == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_says_why(told, name):
    (plugin,) = (plugin for plugin in told["plugins"] if plugin["name"] == name)
    assert plugin["error"] == BROKEN[name][1]


@pytest.mark.parametrize("name", BROKEN)
def test_a_kind_of_a_broken_plugin_raises_its_cause(told, name):
    error, message = told["causes"][name]
    assert error == "PluginError"
    wanted = f"kind '{name}.any': plugin '{name}' (x-{name.replace('_', '-')} 1.0) is failed. {BROKEN[name][1]}"
    assert message.startswith(wanted.rstrip("."))


def test_an_incompatible_plugin_is_not_imported(told):
    (plugin,) = (plugin for plugin in told["plugins"] if plugin["name"] == "old")
    assert plugin["state"] == "incompatible"
    assert plugin["error"].startswith("old: needs another hgq2-core. Received: ")
    assert plugin["error"].endswith(". Allowed: >=9.")
    assert told["causes"]["old"][1].endswith("Install versions that fit: pip install --upgrade hgq2-core x-old")


def test_a_lax_schema_is_refused_when_it_is_asked_for(told):
    assert states(told)["lax"] == ["loaded"]  # listing imports no class
    assert told["causes"]["lax"] == [
        "PluginError",
        "kind 'lax.lax': x_lax_package.lax:Lax is too lax a schema: it would hide users' mistakes. Received: "
        "extra=None, frozen=None, strict=None, allow_inf_nan=None. Allowed: a QuantizerConfig, with its model_config.",
    ]


def test_a_distribution_that_is_installed_twice_is_loaded_once(told, broken_sites):
    (plugin,) = (plugin for plugin in told["plugins"] if plugin["name"] == "again")
    assert (plugin["state"], Path(plugin["location"])) == ("loaded", broken_sites[0])


def test_two_distributions_with_one_plugin_name_are_named_both(told):
    first, second = (plugin for plugin in told["plugins"] if plugin["name"] == "twin")
    assert (first["state"], second["state"]) == ("loaded", "failed")
    assert second["error"] == (
        "twin: plugin offered by two distributions, x-twin-a 1.0 and x-twin-b 1.0. Uninstall one."
    )


def test_a_model_of_sound_kinds_is_built_among_broken_plugins(told):
    assert told["weights"] > 0


def test_the_command_line_shows_every_one_of_them(broken_sites, tmp_path):
    process = python(broken_sites, "-m", "hgq2_core.cli.main", "plugins", cwd=tmp_path)
    assert process.returncode == 0
    shown = " ".join(process.stdout.split())
    for name, (_, error) in BROKEN.items():
        assert f"plugin '{name}'" in shown
        assert error.split(". ")[0] in shown
    assert "Traceback" not in process.stdout + process.stderr


def test_checking_the_plugins_finds_the_lax_schema(broken_sites, tmp_path):
    process = python(broken_sites, "-m", "hgq2_core.cli.main", "plugins", "--check", cwd=tmp_path)
    assert process.returncode == 2
    assert "is too lax a schema" in process.stdout + process.stderr
