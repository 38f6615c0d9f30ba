"""`hgq2 show`, `schema`, `resolve`, `--set`, completion, and what every command promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from packaging.requirements import Requirement
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core import KindError, PluginError, json_schema
from hgq2_core.cli.inspection import complete_kinds
from hgq2_core.cli.listing import complete_groups
from hgq2_core.commands.printing import print_json
from hgq2_core.config.describe import all_kinds, describe
from hgq2_core.config.json_schema import json_schema_of

EXAMPLES = Path(__file__).parents[2] / "examples"

CONFIG = """\
defaults:
  weight: {kind: kbi, b: 6}
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, name: hidden, units: 4, kernel_quantizer: {kind: kbi, i: 1, granularity: tensor}}
    - {kind: keras.ReLU}
"""


@pytest.fixture
def hgq2():
    def run(*arguments, code=0):
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


# show.


@pytest.mark.parametrize("kind", list(all_kinds()))
def test_every_kind_can_be_described(kind):
    found = describe(kind)
    assert found.kind == kind
    assert found.summary
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", [kind for kind in all_kinds() if not kind.startswith("keras.")])
def test_every_field_of_ours_says_what_it_means(kind):
    assert [field.name for field in describe(kind).fields if not field.description] == []


def test_show_prints_fields_with_type_default_and_meaning(hgq2):
    lines = hgq2("show", "kbi").stdout.splitlines()
    assert lines[0] == "fixed_point.kbi, a quantizer of hgq2-fixed-point 0.1.0"
    fields = {line.split()[0]: line for line in lines if line.strip()}
    assert fields["k"].split() == ["k", "0", "|", "1", "1", "1", "signed,", "0", "unsigned."]
    assert "[number, number]" in fields["i_bounds"] and "[-23.0, 23.0]" in fields["i_bounds"]
    assert "number ≥ 0, ≤ 1" in fields["noise"]
    assert fields["step:"] == "step: 0.015625"


def test_a_required_field_says_so(hgq2):
    (line,) = [line for line in hgq2("show", "dense").stdout.splitlines() if line.strip().startswith("units")]
    assert line.split(maxsplit=6)[:6] == ["units", "integer", ">", "0,", "≤", "16,777,216"]
    assert "required" in line


def test_show_gives_json(hgq2):
    found = json.loads(hgq2("show", "power_of_two", "--json").stdout)
    assert found["kind"] == "fixed_point.power_of_two"
    assert found["facts"]["bits"] == 5
    assert [field["name"] for field in found["fields"]] == ["k", "lowest", "highest"]


def test_show_draws_the_values_of_a_quantizer(hgq2, tmp_path):
    pytest.importorskip("hgq2_minifloat")
    path = tmp_path / "values.svg"
    lines = hgq2("show", "float4_e2m1fn", "--plot", path).stdout.splitlines()
    assert lines[-1] == f"{path}: written"
    text = path.read_text()
    assert "minifloat.float4_e2m1fn: 15 values" in text
    found = hgq2("show", "float8_e4m3fn", "--json", "--plot", tmp_path / "values.png").stdout
    assert json.loads(found)["facts"]["max"] == 448
    assert (tmp_path / "values.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["layers.dense", "none", "keras.Dropout"])
def test_what_tells_no_values_is_not_drawn(hgq2, tmp_path, kind):
    path = tmp_path / "values.png"
    assert hgq2("show", kind, "--plot", path, code=2).stderr.strip() == (
        f"error: show: only a quantizer that lists its values can be drawn. Received: --plot {path} for {kind}. "
        "Allowed: kinds such as minifloat.float8_e4m3fn."
    )
    assert not path.exists()


def test_an_image_of_an_unknown_kind_is_refused(hgq2, tmp_path):
    pytest.importorskip("hgq2_minifloat")
    message = hgq2("show", "float4_e2m1fn", "--plot", tmp_path / "values.pgn", code=2).stderr.strip()
    assert message.startswith(
        f"error: the suffix of an image selects its format. Received: '{tmp_path / 'values.pgn'}'. Allowed: "
    )
    assert ", png, " in message


def test_an_unknown_kind_names_the_nearest(hgq2):
    message = hgq2("show", "kbl", code=2).stderr.strip()
    assert message == "error: unknown kind. Received: 'kbl'. Allowed: what `hgq2 list` shows. Did you mean 'kbi'?"


def test_a_kind_of_keras_needs_its_prefix(hgq2):
    message = hgq2("show", "Dropout", code=2).stderr.strip()
    assert message == "error: unknown kind. Received: 'Dropout'. Keras' own have a prefix: 'keras.Dropout'."


def test_a_keras_layer_that_is_no_kind_gets_the_list(hgq2):
    message = hgq2("show", "keras.Lambda", code=2).stderr.strip()
    assert message.startswith("error: unknown Keras kind. Received: 'keras.Lambda'. Allowed: keras.Activation, ")


# schema.


def test_schema_prints_and_writes_the_json_schema(hgq2, tmp_path):
    assert json.loads(hgq2("schema").stdout) == json_schema()
    assert hgq2("schema", "-o", tmp_path / "s.json").stdout == f"{tmp_path / 's.json'}: written\n"
    assert json.loads((tmp_path / "s.json").read_text()) == json_schema()


def test_the_schema_of_one_kind_stands_alone(hgq2):
    schema = json.loads(hgq2("schema", "--kind", "dense").stdout)
    assert schema["properties"]["kind"] == {"enum": ["layers.dense", "dense"]}
    assert "quantizer" in schema["$defs"] and "layer" not in schema["$defs"]
    check = Draft202012Validator(schema)
    assert check.is_valid({"kind": "dense", "units": 4, "kernel_quantizer": {"kind": "kbi", "b": 3}})
    assert not check.is_valid({"kind": "dense", "units": 4, "kernel_quantizer": {"kind": "kbi", "bits": 3}})
    assert json.loads(hgq2("schema", "--kind", "keras.Dropout").stdout)["required"] == ["kind", "rate"]


def test_a_kind_that_configs_do_not_name_has_no_schema():
    with pytest.raises(KindError) as error:
        json_schema_of("exporters", "keras.Verilog")
    assert str(error.value) == (
        "configs name no exporters, so 'keras.Verilog' has no schema; `hgq2 show keras.Verilog` says what it takes."
    )


# resolve and --set.


def test_resolve_says_where_each_value_comes_from(hgq2, config):
    rows = json.loads(hgq2("resolve", config, "--json").stdout)
    kernel = {row["field"]: (row["value"], row["source"]) for row in rows if row["slot"] == "kernel"}
    assert kernel["i"] == (1.0, "the layer")
    assert kernel["granularity"] == ("tensor", "the layer")
    assert kernel["b"] == (6.0, "defaults")
    assert kernel["b_regularizer"] == (1e-8, "the role")
    assert kernel["noise"] == (1.0, "the class")
    assert {row["layer"] for row in rows} == {"hidden"}
    assert {row["slot"] for row in rows} == {"input", "kernel", "bias"}


def test_resolve_prints_a_table(hgq2, config):
    lines = [line.split() for line in hgq2("resolve", config).stdout.splitlines()]
    assert ["hidden", "kernel", "fixed_point.kbi", "k", "1", "the", "role"] in lines
    assert ["b", "6.0", "defaults"] in lines


def test_set_changes_what_is_resolved(hgq2, config):
    rows = json.loads(hgq2("resolve", config, "--set", "defaults.weight.b=3", "--json").stdout)
    assert {row["value"] for row in rows if row["slot"] == "kernel" and row["field"] == "b"} == {3.0}


def test_a_value_that_was_set_is_checked_as_one_in_the_file(hgq2, config):
    setting = "model.layers.hidden.units=three"
    message = hgq2("validate", config, "--set", setting, code=2).stderr.strip()
    assert message == (
        f"error: {config} --set {setting}: model.layers.0.units: must be an integer. Received: 'three' (str)."
    )


def test_set_needs_a_file(hgq2, tmp_path):
    message = hgq2("train", "-o", tmp_path, "--resume", "--set", "seed=1", code=2).stderr.strip()
    assert message.startswith("error: train: --set changes values of a config FILE;")


def test_validate_gives_json(hgq2, config):
    found = json.loads(hgq2("validate", config, "--set", "model.layers.0.units=5", "--json").stdout)
    assert found["file"] == str(config)
    assert found["layers"] == 3


# manners.


def test_a_defect_has_an_exit_code_of_its_own(hgq2, config, monkeypatch):
    monkeypatch.setattr("hgq2_core.config.model.load_config", lambda *_: 1 / 0)
    message = hgq2("validate", config, code=3).stderr.strip()
    assert message == (
        "defect: ZeroDivisionError: division by zero. This is a fault of hgq2 or of a plugin, not yours; "
        "please report it. `hgq2 --debug ...` shows where."
    )


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["--help"]], ids=" ".join)
def test_output_that_nobody_reads_is_no_error_and_no_mismatch(command):
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "hgq2_core.cli.main", *command]
    process = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, timeout=120)
    os.close(writer)
    assert (process.returncode, process.stderr) == (cli.UNREAD, b"")


def test_json_has_no_nan(capsys):
    print_json({"loss": float("nan"), "range": [0.5, float("inf")]})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "range": [0.5, None]}


def test_the_shell_completes_kinds():
    assert complete_kinds("fixed_point.k") == ["fixed_point.kbi", "fixed_point.kif"]
    assert "keras.Dropout" in complete_kinds("keras.D")
    assert complete_kinds("kb") == ["kbi"]
    assert complete_groups("l") == ["layers", "losses"]


def test_a_short_name_that_is_not_unique_is_not_completed(monkeypatch):
    kinds = ["a.table", "b.table", "b.tanh"]
    monkeypatch.setattr("hgq2_core.config.describe.all_kinds", lambda: iter(kinds))
    assert complete_kinds("") == [*kinds, "tanh"]


def test_completion_is_silent_about_broken_plugins(monkeypatch):
    def broken():
        raise PluginError("broken")

    monkeypatch.setattr("hgq2_core.config.describe.registry", broken)
    assert complete_kinds("k") == []


@pytest.mark.parametrize(("words", "found"), [("hgq2 show kb", "kbi"), ("hgq2 list qu", "quantizers")])
def test_completion_imports_no_backend(words, found, fresh_python):
    script = """
        import contextlib, io, json, sys
        from hgq2_core.cli.main import main
        sys.argv = ["hgq2"]
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            main()
        heavy = [name for name in ("keras", "torch", "jax", "tensorflow") if name in sys.modules]
        print(json.dumps([heavy, printed.getvalue().split()]))
    """
    completing = {"_HGQ2_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "2"}
    assert fresh_python(script, **completing) == [[], [found]]


@pytest.mark.parametrize("command", [info.name or info.callback.__name__ for info in cli.app.registered_commands])
def test_every_command_explains_itself(hgq2, command):
    text = hgq2(command, "--help").stdout
    assert len(text.splitlines()) > 8
    assert f"Example: hgq2 {command}" in text


@pytest.mark.parametrize(
    ("group", "name"),
    [("optimizers", "adam"), ("losses", "huber"), ("metrics", "auc"), ("schedules", "cosine_decay")],
)
def test_the_names_of_keras_are_listed_and_shown(hgq2, group, name):
    assert name in json.loads(hgq2("list", group, "--json").stdout)[group]
    found = json.loads(hgq2("show", name, "--json").stdout)
    assert (found["kind"], found["distribution"]) == (name, "keras")
    assert found["fields"]


def test_a_name_of_a_loss_and_a_metric_needs_its_group(hgq2):
    assert json.loads(hgq2("show", "metrics.hinge", "--json").stdout)["sort"] == "metric"
    text = hgq2("show", "hinge", code=2).output.replace("\n", " ")
    assert "ambiguous kind. Received: 'hinge'. Allowed: losses.hinge, metrics.hinge." in text


def test_freeze_requirements_pins_what_a_config_names_and_what_that_requires(hgq2, tmp_path):
    config = tmp_path / "model.yaml"
    config.write_text("model: {inputs: {x: {shape: [4]}}, layers: [{kind: layers.dense, units: 2}]}")
    found = json.loads(hgq2("freeze-requirements", config, "--json").stdout)
    backend = keras.backend.backend()
    assert found["named"] == ["hgq2-core", "hgq2-fixed-point", "hgq2-layers", "keras", backend]
    assert {f"keras=={keras.__version__}", f"numpy=={np.__version__}"} <= set(found["requirements"])
    parsed = [Requirement(line) for line in found["requirements"]]
    assert all(len(each.specifier) == 1 and "+" not in str(each) for each in parsed)
    assert not {"hgq2-training", "hgq2-attention"} & {each.name for each in parsed}
    trained = hgq2("freeze-requirements", EXAMPLES / "digits.yaml").stdout
    assert "needs hgq2-core, hgq2-fixed-point, hgq2-layers, hgq2-training, keras" in trained.splitlines()[0]
    assert "\nmatplotlib==" in trained  # by the extra that hgq2-training requires
