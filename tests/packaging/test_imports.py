"""The cost and effects of imports, each in a fresh process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core import calibrate
from hgq2_layers import QDense

HEAVY = ["keras", "torch", "jax", "tensorflow", "numpy", "pydantic", "rich", "typer"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file, inputs and what the model predicts."""
    keras.utils.set_random_seed(2)
    folder = tmp_path_factory.mktemp("saved")
    model = keras.Sequential([keras.Input((4,)), QDense(5, "relu", name="hidden"), QDense(2, name="logits")])
    x = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    calibrate(model, x)
    model.save(folder / "model.keras")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", model.predict(x, verbose=0))
    return folder


def test_importing_the_core_imports_nothing_heavy(fresh_python):
    script = """
        import sys, json
        import hgq2_core
        print(json.dumps([name for name in {heavy} if name in sys.modules]))
    """
    assert fresh_python(script.format(heavy=HEAVY)) == []


@pytest.mark.parametrize(
    "package",
    [
        "hgq2_alkaid",
        "hgq2_cpp",
        "hgq2_fixed_point",
        "hgq2_hls4ml",
        "hgq2_layers",
        "hgq2_minifloat",
        "hgq2_qonnx",
        "hgq2_training",
    ],
)
def test_importing_a_plugin_imports_nothing_heavy(fresh_python, package):
    script = """
        import sys, json, importlib
        importlib.import_module("{package}")
        importlib.import_module("{package}.plugin")
        print(json.dumps([name for name in {heavy} if name in sys.modules]))
    """
    assert fresh_python(script.format(package=package, heavy=HEAVY)) == []


def test_listing_plugins_imports_no_backend(fresh_python):
    script = """
        import sys, json
        import hgq2_core
        states = {{plugin.name: plugin.state for plugin in hgq2_core.plugins()}}
        print(json.dumps([states, [name for name in {heavy} if name in sys.modules]]))
    """
    states, imported = fresh_python(script.format(heavy=["keras", "torch", "jax", "tensorflow"]))
    assert {name: states[name] for name in ("fixed_point", "layers")} == {"fixed_point": "loaded", "layers": "loaded"}
    assert imported == []


def test_configs_are_made_without_a_backend(fresh_python):
    script = """
        import sys, json
        from hgq2_fixed_point import KBI
        print(json.dumps([KBI(b=3).to_dict()["kind"], [name for name in ("keras", "torch") if name in sys.modules]]))
    """
    assert fresh_python(script) == ["fixed_point.kbi", []]


def test_the_first_installed_backend_is_the_default(fresh_python):
    script = """
        import os, json
        import hgq2_core
        print(json.dumps(os.environ["KERAS_BACKEND"]))
    """
    installed = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name)]
    assert fresh_python(script, KERAS_BACKEND=None) == installed[0]
    assert fresh_python(script, KERAS_BACKEND="") == installed[0]
    assert fresh_python(script, KERAS_BACKEND="jax") == "jax"  # what the user says stays


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (
            "jax",
            "it is not installed. Received: 'jax'. {allowed} Install it: pip install 'hgq2-core[jax]' "
            "(not on PyPI yet: pip install '.[jax]' in a clone)",
        ),
        ("theano", "there is no such backend here. Received: 'theano'. {allowed}"),
        ("tensorflw", "there is no such backend here. Received: 'tensorflw'. {allowed} Did you mean 'tensorflow'?"),
    ],
)
def test_a_backend_that_cannot_be_used_is_the_users_error(fresh_python, backend, message):
    script = """
        import importlib.util, json, sys
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "jax" else find(name, *rest)
        import hgq2_core
        import hgq2_core.cli.main as cli
        from typer.testing import CliRunner
        command = CliRunner().invoke(cli.app, ["validate", "config.yaml"])
        try:
            hgq2_core.QLayer
        except hgq2_core.PluginError as error:
            print(json.dumps([str(error), command.exit_code, command.output, "keras" in sys.modules]))
    """
    message = "KERAS_BACKEND: " + message.format(allowed="Allowed: torch, jax, tensorflow.")
    assert fresh_python(script, KERAS_BACKEND=backend, COLUMNS="200") == [message, 2, f"error: {message}\n", False]


def test_without_a_backend_the_remedy_is_named(fresh_python):
    script = """
        import importlib.util, json
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name in {backends} else find(name, *rest)
        import hgq2_core
        plugins = len(hgq2_core.plugins())
        try:
            hgq2_core.QLayer
        except hgq2_core.PluginError as error:
            print(json.dumps([plugins > 0, str(error)]))
    """
    listed, message = fresh_python(script.format(backends=("torch", "jax", "tensorflow")), KERAS_BACKEND=None)
    assert listed
    assert message == (
        "hgq2_core.QLayer needs a Keras backend, and none of torch, jax, tensorflow is installed: "
        "pip install 'hgq2-core[torch]' (not on PyPI yet: pip install '.[torch]' in a clone)"
    )


def test_a_command_without_a_backend_names_the_remedy(fresh_python, tmp_path):
    script = """
        import importlib.util, json, sys
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name in {backends} else find(name, *rest)
        for name in {backends}:
            sys.modules[name] = None
        from typer.testing import CliRunner
        from hgq2_core.cli.main import app
        results = [CliRunner().invoke(app, command) for command in (["show", "layers.dense"], ["validate", {file!r}])]
        print(json.dumps([[result.exit_code, " ".join(result.stderr.split())] for result in results]))
    """
    file = tmp_path / "model.yaml"
    file.write_text("model: {inputs: {x: {shape: [4]}}, layers: [{kind: dense, units: 1}]}")
    backends = ("torch", "jax", "tensorflow")
    results = fresh_python(script.format(backends=backends, file=str(file)), KERAS_BACKEND=None)
    for subject, (code, message) in zip(("kind 'layers.dense'", "this command"), results, strict=True):
        assert code == 2
        assert message == (
            f"error: {subject} needs a Keras backend, and none of torch, jax, tensorflow is installed: "
            "pip install 'hgq2-core[torch]' (not on PyPI yet: pip install '.[torch]' in a clone)"
        )


LOAD = """
    import json
    {imports}
    import numpy
    model = keras.saving.load_model({folder!r} + "/model.keras")
    y = model.predict(numpy.load({folder!r} + "/x.npy"), verbose=0)
    same = numpy.load({folder!r} + "/y.npy").view("u4").tolist() == y.view("u4").tolist()
    print(json.dumps([same, type(model.layers[0]).__name__]))
"""


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import hgq2_core; import keras", id="core first", marks=pytest.mark.slow),
        pytest.param("import keras; import hgq2_core", id="keras first"),
    ],
)
@pytest.mark.slow
def test_a_model_loads_in_every_order(fresh_python, saved, imports):
    """docs/numerics.md#9.17. With keras first, KERAS_BACKEND must be set."""
    script = LOAD.format(imports=imports, folder=str(saved))
    backend = keras.backend.backend() if imports.startswith("import keras") else None
    assert fresh_python(script, KERAS_BACKEND=backend) == [True, "QDense"]


@pytest.fixture(scope="module")
def refusals(saved):
    """What load_model says without certain plugins; one process for all cases, since importing keras takes seconds."""
    script = f"""
import json, os
from importlib import metadata
import hgq2_core, keras
from hgq2_core.discovery.registry import registry

entry_points = metadata.entry_points

def refusal():
    registry.cache_clear()
    try:
        keras.saving.load_model({str(saved)!r} + "/model.keras")
    except Exception as error:
        return [isinstance(error, hgq2_core.HGQ2Error), str(error)]

said = {{}}
for allowed in ("none", "fixed_point", "layers"):
    os.environ["HGQ2_PLUGINS"] = allowed
    said["allowed " + allowed] = refusal()
del os.environ["HGQ2_PLUGINS"]
for missing in ("layers", "fixed_point"):
    metadata.entry_points = lambda **search: [e for e in entry_points(**search) if e.name != missing]
    said["missing " + missing] = refusal()
metadata.entry_points = entry_points
said["all there"] = refusal()
print(json.dumps(said))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("allowed", "plugin", "kind"),
    [
        ("none", "layers", "layers.dense"),
        ("fixed_point", "layers", "layers.dense"),
        ("layers", "fixed_point", "fixed_point.k"),
    ],
)
def test_a_blocked_plugin_is_named(refusals, allowed, plugin, kind):
    """docs/numerics.md#9.17: Keras said `could not locate class`."""
    ours, message = refusals[f"allowed {allowed}"]
    assert ours, message
    for part in (f"kind '{kind}", f"plugin '{plugin}'", "is blocked", f"Add '{plugin}' to HGQ2_PLUGINS"):
        assert part in message


@pytest.mark.parametrize(("plugin", "distribution"), [("layers", "hgq2-layers"), ("fixed_point", "hgq2-fixed-point")])
def test_a_missing_plugin_says_what_to_install(refusals, plugin, distribution):
    ours, message = refusals[f"missing {plugin}"]
    assert ours, message
    assert f"pip install {distribution}" in message


def test_with_all_plugins_nothing_is_refused(refusals):
    assert refusals["all there"] is None


@pytest.mark.parametrize("name", hgq2_core.__all__)
def test_every_public_name_is_there(name):
    assert name in dir(hgq2_core)
    assert getattr(hgq2_core, name) is not None


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'hgq2_core' has no attribute 'nothing'"):
        _ = hgq2_core.nothing


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["plugins"], ["list"], ["list", "quantizers", "--json"]],
    ids=lambda words: " ".join(words),
)
def test_commands_that_look_around_import_nothing_heavy(fresh_python, arguments):
    """The seconds that this saves are printed by `make bench-startup`."""
    script = """
        import sys, json
        import hgq2_core.cli.main as cli
        try:
            cli.app({arguments}, prog_name="hgq2")
        except SystemExit as end:
            own = {packages}
            sides = [name for name in sys.modules if name.startswith("hgq2_") and name.partition(".")[0] in own and
                     name.partition(".")[2] not in ("", "plugin", "aliases")]
            print(json.dumps([end.code, sides, [name for name in {heavy} if name in sys.modules]]))
    """
    heavy = ["keras", "torch", "jax", "tensorflow", "matplotlib"]
    packages = ["hgq2_alkaid", "hgq2_attention", "hgq2_cpp", "hgq2_fixed_point", "hgq2_hls4ml", "hgq2_layers"]
    packages += ["hgq2_minifloat", "hgq2_qonnx", "hgq2_training"]
    assert fresh_python(script.format(arguments=arguments, packages=packages, heavy=heavy)) == [0, [], []]
