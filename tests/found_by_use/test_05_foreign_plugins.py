"""A foreign plugin breaks nothing of ours: not by its names, its classes or its imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hgq2_core import HGQ2Error, QLayer
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.loading import GROUPS
from hgq2_core.discovery.registry import registry
from hgq2_core.testing import registered
from hgq2_core.testing.protocols import check_class

ROOT = Path(__file__).parents[2]
NEIGHBOUR = Path(__file__).parent / "hostile_neighbour"
PATH = os.pathsep.join([str(NEIGHBOUR), *filter(None, sys.path)])

pytestmark = pytest.mark.once

LAX = (
    "is too lax a schema: it would hide users' mistakes. Received: extra=None, frozen=None, strict=None, "
    "allow_inf_nan=None. Allowed: a QuantizerConfig, with its model_config."
)
FOUND = {
    "aaa.hgq2_layers: 'keras.Activation' is offered by two plugins, layers (hgq2-layers VERSION) and aaa "
    "(hostile-neighbour 1.0). Uninstall one, or leave it out of HGQ2_PLUGINS.",
    "layers: plugin offered by two distributions, hgq2-layers VERSION and hostile-neighbour 1.0. Uninstall one.",
    "SystemExit: this module cannot be imported",
    f"kind 'hostile.kbi': hostile_neighbour.kinds:LaxQuantizer {LAX}",
    "kind 'hostile.gone': cannot import hostile_neighbour.raising:Gone. SystemExit: this module cannot be imported",
    "kind 'hostile.dense': hostile_neighbour.kinds:Plain is of the wrong class. Received: object. "
    "Allowed: hgq2_core.QLayer.",
    "kind 'hostile.lax': hostile_neighbour.kinds:LaxLayer takes `options` by too lax a schema, Options: it would "
    "hide users' mistakes. Received: extra=None, frozen=None, strict=None, allow_inf_nan=None.",
    "kind 'hostile.untyped': hostile_neighbour.kinds.UntypedLayer(): argument `gain` has no annotation.",
    "kind 'hostile.free': hostile_neighbour.kinds:ForgetsItsCost does not define ebops().",
    "kind 'keras.LayerNormalization': hostile_neighbour.kinds:Plain is of the wrong class. Received: object. "
    "Allowed: hgq2_core.KerasAdapter.",
    "kind 'hostile.beta_schedule': hostile_neighbour.kinds:Plain is of the wrong class. Received: object. "
    "Allowed: keras.Callback.",
    "kind 'hostile.digits': hostile_neighbour.kinds:Plain does not define load().",
    f"kind 'hostile.records': hostile_neighbour.kinds:LaxData {LAX}",
    "kind 'hostile.alkaid': hostile_neighbour.kinds:Plain does not define estimate(), export(), simulate(), "
    "mismatches().",
}


def beside(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python with the neighbour installed."""
    environment = {**os.environ, "PYTHONPATH": PATH}
    return subprocess.run(
        [sys.executable, *map(str, command)], env=environment, cwd=cwd, capture_output=True, text=True, timeout=3000
    )


def test_each_of_our_kinds_is_what_its_sort_asks_for() -> None:
    for group in ("quantizers", "layers", "callbacks", "datasets", "exporters"):
        for kind in registry().names(group):
            check_class(group, kind)


@pytest.mark.slow
def test_plugins_check_names_what_is_wrong_with_every_class_of_it(tmp_path: Path) -> None:
    process = beside("-m", "hgq2_core.cli.main", "plugins", "--check", cwd=tmp_path)
    assert process.returncode == 2, process.stderr
    version = next(plugin.version for plugin in registry().plugins if plugin.name == "layers")
    lines = {
        line.removeprefix("error: ").removeprefix("hgq2_core.errors.PluginError: ")
        for line in process.stderr.splitlines()
    }
    assert {finding.replace("VERSION", version) for finding in FOUND} <= lines


def test_commands_of_ours_are_reached_in_full_beside_it(tmp_path: Path) -> None:
    def hgq2(*arguments: str) -> subprocess.CompletedProcess[str]:
        return beside("-m", "hgq2_core.cli.main", *arguments, cwd=tmp_path)

    both = hgq2("train", "--help")
    assert both.returncode == 2
    assert "training.train" in both.stderr and "hostile.train" in both.stderr
    ours = hgq2("training.train", "--help")
    assert ours.returncode == 0, ours.stderr
    assert "hostile.train" in (helped := hgq2("--help")).stdout, helped.stderr


@pytest.mark.slow
def test_ours_work_beside_it(fresh_python: Callable[..., Any]) -> None:
    found = fresh_python(
        """
        import json
        import hgq2_core, keras
        from hgq2_training.demo import CONFIG
        from hgq2_attention import QMultiHeadAttention
        from hgq2_core.discovery.registry import registry

        states = {plugin.distribution: plugin.state for plugin in registry().plugins}
        x = keras.Input((4, 3))
        y = QMultiHeadAttention(1, 2, name="attention")(x, x)
        y = keras.layers.Dense(5, activation="tanh", name="dense")(x)
        y = keras.layers.LeakyReLU(0.3, name="leaky")(keras.layers.PReLU(name="prelu")(y))
        y = keras.layers.Softmax(name="softmax")(keras.layers.Activation("sigmoid", name="sigmoid")(y))
        y = keras.layers.Activation("softmax", name="again")(y)
        converted = hgq2_core.quantize_model(keras.Model(x, y))
        print(json.dumps({
            "states": states,
            "layers": {layer.name: registry().kind_of("layers", type(layer)) for layer in converted.layers[1:]},
            "demo": [type(layer).__name__ for layer in hgq2_core.load_config(CONFIG).build().layers[1:]],
            "schema": len(hgq2_core.json_schema()["$defs"]["layer"]["oneOf"]) > 50,
        }))
        """,
        PYTHONPATH=PATH,
    )
    states = found.pop("states")
    assert {state for distribution, state in states.items() if distribution.startswith("hgq2-")} == {"loaded"}
    assert found == {
        "layers": {
            "dense": "layers.dense",
            "dense_activation": "layers.unary_function",
            "prelu": "layers.prelu",
            "leaky": "layers.leaky_relu",
            "sigmoid": "layers.unary_function",
            "softmax": "attention.softmax",
            "again": "attention.softmax",
        },
        "demo": ["QDense", "Dropout", "QDense"],
        "schema": True,
    }


@pytest.mark.slow
def test_every_shipped_config_builds_beside_it(fresh_python: Callable[..., Any]) -> None:
    names = fresh_python(
        f"""
        import json
        from pathlib import Path
        import hgq2_core
        paths = sorted(Path({str(ROOT / "examples")!r}).glob("*.yaml"))
        print(json.dumps([path.name for path in paths if hgq2_core.load_config(path).build()]))
        """,
        PYTHONPATH=PATH,
    )
    assert names == sorted(path.name for path in (ROOT / "examples").glob("*.yaml"))


@pytest.mark.nightly
def test_the_contract_suite_passes_beside_it() -> None:
    process = beside("-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", ROOT / "tests" / "contract")
    assert process.returncode == 0, process.stdout[-5000:]


OFFERED = {group: registry().names(group) for group in GROUPS}


@pytest.fixture
def twins() -> Iterator[None]:
    """A foreign plugin `other` offers every official kind of ours under its short name."""
    with registered(
        **{
            group: {f"other.{kind.partition('.')[2]}": "no_such_module:Twin" for kind in filter(is_official, kinds)}
            for group, kinds in OFFERED.items()
        }
    ):
        yield


NO_QUANTIZER = "fixed_point.none"
"""The former kind of what is a value of the core now."""


@pytest.mark.usefixtures("twins")
@pytest.mark.parametrize(
    ("group", "kind"),
    [(group, kind) for group, kinds in OFFERED.items() for kind in filter(is_official, kinds) if kind != NO_QUANTIZER],
)
def test_an_ambiguous_name_is_answered_with_what_to_write(group: str, kind: str) -> None:
    short = kind.partition(".")[2]
    with pytest.raises(HGQ2Error) as caught:
        registry().resolve(group, short, "digits.yaml: model.layers.0")
    both = ", ".join(sorted([kind, f"other.{short}"]))
    assert str(caught.value) == (
        f"digits.yaml: model.layers.0: ambiguous {group[:-1]} kind. Received: {short!r}. Allowed: {both}. "
        f"Write the full kind, such as {kind!r}."
    )


@pytest.mark.usefixtures("twins")
def test_no_quantizer_is_a_value_of_the_core_whatever_a_plugin_calls_none() -> None:
    assert registry().resolve("quantizers", "none", "digits.yaml: model.layers.0") == "none"


@pytest.mark.usefixtures("twins")
def test_no_layer_of_ours_asks_by_a_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "contract"))
    from layer_examples import EXAMPLES

    for kind, examples in EXAMPLES.items():
        for arguments, _ in examples:
            layer = registry().load("layers", kind)(**arguments)
            assert type(QLayer.from_config(layer.get_config())) is type(layer)
