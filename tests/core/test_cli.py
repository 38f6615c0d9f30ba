import io
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

import hgq2_core
import hgq2_core.cli.main as cli
from hgq2_core.config.model import load_config
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_objects import keras_kinds
from hgq2_training.commands.progress import TrainingProgress, format_logs

CONFIG = """\
seed: 3
defaults:
  activation: {kind: kif, i: 3, f: 3, overflow_mode: WRAP}
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, units: 4, activation: relu, kernel_initializer: he_normal, bias_regularizer: {kind: l2, l2: 1.0e-4}}
    - {kind: keras.Dropout, rate: 0.1}
    - {kind: dense, name: logits, units: 10}
data: {kind: digits}
training:
  optimizer: {kind: adam, learning_rate: 0.005, bit_learning_rate_scale: 8}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 2
  batch_size: 256
  callbacks: [{kind: beta_schedule, points: [[0, 1.0e-7], [2, 1.0e-6]]}, {kind: pareto_front}]
"""
FILES = {
    *("config.yaml", "model.keras", "frozen.keras", "metrics.json", "history.json", "report.html"),
    *("checkpoint.npz", "data.json", "origin.json", "analysis.json", "front", "front/front.json", ".lock"),
}  # fmt: skip


@pytest.fixture
def hgq2():
    """Run a command in this process, and check its exit code; what it printed comes back."""

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output or "--debug" in arguments
        return result

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One run for the module; tests that write take `run`, a copy."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(CONFIG)
    result = CliRunner().invoke(cli.app, ["train", str(folder / "tiny.yaml"), "-o", str(folder / "run")])
    assert result.exit_code == 0, result.output
    (folder / "output.txt").write_text(result.output)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained / "run", tmp_path / "run")


@pytest.fixture
def tiny(tmp_path):
    """Write the config, changed by replacements."""

    def write(*changes):
        text = CONFIG
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "tiny.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("command", ["plugins", "list", "show fixed_point.kbi"])
def test_looking_around_imports_no_backend(command, fresh_python):
    script = f"""
        import contextlib, io, json, sys
        from hgq2_core.cli.main import main
        sys.argv = ["hgq2", *{command!r}.split()]
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            main()
        heavy = [name for name in ("keras", "torch", "jax", "tensorflow", "matplotlib") if name in sys.modules]
        print(json.dumps([heavy, "fixed_point" in printed.getvalue()]))
    """
    assert fresh_python(script) == [[], True]


def test_plugins(hgq2):
    text = hgq2("plugins").stdout
    words = (
        "fixed_point",
        "hgq2-fixed-point",
        hgq2_core.__version__,
        "loaded",
        " quantizers",
        " adapters",
        " datasets",
    )
    for word in words:
        assert word in text
    assert "1 exporter " in text and "1 exporters" not in text
    found = {plugin["name"]: plugin for plugin in json.loads(hgq2("plugins", "--json").stdout)}
    assert {"fixed_point", "layers", "training"} <= found.keys()
    assert found["layers"]["state"] == "loaded"
    assert found["layers"]["kinds"]["layers"]["layers.dense"] == "hgq2_layers.core.dense:QDense"
    hgq2("plugins", "--check")


def test_plugins_check_shows_what_is_broken(hgq2, monkeypatch):
    monkeypatch.setitem(sys.modules, "hgq2_training.datasets.digits", None)
    monkeypatch.delitem(registry()._classes, ("datasets", "training.digits"), raising=False)
    result = CliRunner().invoke(cli.app, ["plugins", "--check"])
    assert result.exit_code == 2
    assert "training.digits" in result.stderr and "Traceback" in result.stderr
    result = CliRunner().invoke(cli.app, ["plugins", "--check", "--json"])
    assert result.exit_code == 2
    assert "training" in [plugin["name"] for plugin in json.loads(result.stdout)]


def test_list(hgq2):
    text = hgq2("list").stdout
    assert "  fixed_point.kbi\n" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert json.loads(hgq2("list", "datasets", "--json").stdout) == {
        "datasets": [
            f"training.{name}"
            for name in ("csv", "digits", "hdf5", "magic", "npy", "npz", "parquet", "root", "toy_jets", "vowels")
        ]
    }
    assert set(keras_kinds("layers")) <= set(json.loads(hgq2("list", "--json").stdout)["layers"])
    several = json.loads(hgq2("list", "losses", "schedules", "losses", "--json").stdout)
    assert list(several) == ["losses", "schedules"] and "cosine_decay" in several["schedules"]
    assert "Did you mean 'quantizers'?" in hgq2("list", "quantizer", code=2).stderr


def test_help_and_version(hgq2):
    assert hgq2("--version").stdout == f"hgq2-core {hgq2_core.__version__}\n"
    for flag in ("-h", "--help"):
        text = " ".join(hgq2(flag).stdout.split())
        assert "Start with `hgq2 demo`" in text and "Exit codes: 0 success, 1 the model" in text
    for command in ("plugins", "list", "validate", "train", "demo", "calibrate", "report", "verify"):
        assert "Usage: hgq2 " + command in hgq2(command, "-h").stdout.replace("root", "hgq2")


def test_validate(hgq2, tiny):
    assert "valid. 4 layers" in " ".join(hgq2("validate", tiny()).stdout.split())
    for change, words in (
        (("units: 10", "unit: 10"), ("tiny.yaml", "model.layers.2", "unit", "Did you mean 'units'?")),
        (("kind: kif", "kind: kiff"), ("defaults.activation", "Did you mean 'kif'?")),
        (("units: 4", "units: 4, units: 5"), ("units", "given twice", "keep one")),
    ):
        result = hgq2("validate", tiny(change), code=2)
        assert result.stdout == "" and result.stderr.startswith("error: ")
        assert all(word.casefold() in result.stderr.casefold() for word in words), result.stderr
    assert "no such file" in hgq2("validate", "nowhere.yaml", code=2).stderr


def test_debug_shows_the_traceback(hgq2):
    assert "Traceback (most recent call last)" in hgq2("--debug", "validate", "nowhere.yaml", code=2).stderr


@pytest.mark.slow
def test_a_message_without_a_traceback_from_the_shell(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "hgq2_core.cli.main", "report", tmp_path], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 2
    assert process.stdout == "" and process.stderr.startswith("error: ") and "Traceback" not in process.stderr


def test_train_fills_the_run_directory(trained):
    directory = trained / "run"
    assert {str(path.relative_to(directory)) for path in directory.rglob("*")} - {
        f"front/{entry['file']}" for entry in json.loads((directory / "front" / "front.json").read_text())["entries"]
    } == FILES
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics.keys() == {
        *("test", "ebops", "ebops_before_calibration", "verify", "findings", "seconds", "versions", "recommended")
    }
    assert metrics["test"].keys() == {"accuracy", "loss"}
    assert metrics["verify"] == {"mismatches": 0, "samples": 449}
    assert {"hgq2-core", "hgq2-layers", "keras", "numpy"} <= metrics["versions"].keys()
    history = json.loads((directory / "history.json").read_text())
    assert [logs["epoch"] for logs in history] == [0, 1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "ebops", "ebops_beta", "front"} <= history[0].keys()


def test_train_prints_the_layers_and_the_result_in_80_columns(trained):
    text = (trained / "output.txt").read_text()
    for word in ("layers.dense", "keras.Dropout", "kernel", "EBOPs", "accuracy 0.", "0 mismatches in 449 samples"):
        assert word in text
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("run: "))


def test_config_yaml_is_complete_and_builds_the_same(trained):
    path = trained / "run" / "config.yaml"
    text = path.read_text()
    assert "class_name" not in text and "module" not in text and "!!" not in text
    document = yaml.safe_load(text)
    assert document["model"]["layers"][0]["name"] == "dense"
    assert document["model"]["layers"][0]["kernel_quantizer"]["kind"] == "fixed_point.kbi"
    beta = document["model"]["layers"][0]["ebops_beta"]
    assert beta == float(str(np.float32(beta)))
    first, again = load_config(trained / "tiny.yaml").build(), load_config(path).build()
    for a, b in zip(first.layers, again.layers, strict=True):
        assert a.get_config() == b.get_config()
        for x, y in zip(a.weights, b.weights, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y))


def test_the_report_stands_alone(trained):
    text = (trained / "run" / "report.html").read_text()
    assert text.count("<svg") >= 10
    for tag in ("<script", "<link", "<img", "src=", "@import", "url(http", "<!DOCTYPE svg"):
        assert tag not in text
    for word in ("layers.dense", "accuracy", "449", "Pareto front", "keras.Dropout", "Confusion matrix", "digest"):
        assert word in text
    assert len(text) < 300_000


def test_train_refuses_a_directory_that_is_not_empty(hgq2, tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("precious")
    assert "nothing is overwritten" in hgq2("train", tiny(), "-o", tmp_path / "mine", code=2).stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["config.yaml"]
    assert (tmp_path / "mine" / "config.yaml").read_text() == "precious"
    hgq2("train", tiny(), "-o", tmp_path / "tiny.yaml", code=2)
    assert (tmp_path / "tiny.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    "change, words",
    [
        (("data: {kind: digits}\n", ""), ("data: is missing",)),
        ((CONFIG[CONFIG.index("training:") :], ""), ("training: is missing",)),
        (("shape: [64]", "shape: [63]"), ("model.inputs.pixels", "[63]", "[64]")),
        (("metrics: [accuracy]", "metrics: []"), ("val_accuracy",)),
    ],
)  # fmt: skip
def test_train_says_what_does_not_fit(change, words, hgq2, tiny, tmp_path):
    result = hgq2("train", tiny(change), "-o", tmp_path / "run", code=2)
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize("error, code", [(RuntimeError("power cut"), 3), (KeyboardInterrupt(), 130)])
def test_a_training_that_stops_keeps_its_model(error, code, hgq2, tiny, tmp_path, monkeypatch):
    def stop(self, epoch, logs=None):
        if epoch == 1:
            raise error

    monkeypatch.setattr("hgq2_training.callbacks.beta_schedule.BetaSchedule.on_epoch_begin", stop)
    result = CliRunner().invoke(cli.app, ["train", str(tiny()), "-o", str(tmp_path / "run")])
    assert result.exit_code == code
    assert keras.saving.load_model(tmp_path / "run" / "model.keras").get_layer("logits").built
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 1
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert "hgq2 calibrate" in hgq2("report", tmp_path / "run").stdout
    hgq2("verify", tmp_path / "run", code=2)
    hgq2("calibrate", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()


def test_calibrate_renews_what_depends_on_it(hgq2, run):
    before = json.loads((run / "metrics.json").read_text())
    hgq2("calibrate", run)
    assert json.loads((run / "metrics.json").read_text()) == before
    hgq2("calibrate", run, "--margin", 1)
    after = json.loads((run / "metrics.json").read_text())
    assert after["ebops"] > before["ebops"] and after["seconds"] == before["seconds"]
    hgq2("calibrate", run, "--margin", -1, code=2)


def test_report(hgq2, trained):
    assert "mismatches in 449 samples" in hgq2("report", trained / "run").stdout
    found = json.loads(hgq2("report", trained / "run", "--json").stdout)
    assert [row["name"] for row in found["summary"]["layers"]] == ["dense", "dropout", "logits"]
    assert found["summary"]["ebops"] == found["ebops"]


def test_a_loss_that_is_not_a_number_is_reported(hgq2, run):
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["test"]["loss"] = None  # as it is written
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "loss nan; EBOPs" in hgq2("report", run).stdout


def test_verify(hgq2, trained):
    assert "0 mismatches in 449 samples" in hgq2("verify", trained / "run").stdout
    found = json.loads(hgq2("verify", trained / "run", "--json").stdout)
    assert found["ok"] and found["samples"] == 449


@pytest.fixture
def wrong_logits(monkeypatch):
    """Integers that differ from the model in one layer."""
    from hgq2_layers.core.dense import QDense

    right = QDense.exact

    def exact(self, arrays, *inputs):
        outputs = right(self, arrays, *inputs)
        return arrays.add(outputs, outputs) if self.name == "logits" else outputs

    monkeypatch.setattr(QDense, "exact", exact)


@pytest.mark.usefixtures("wrong_logits")
def test_verify_names_the_layer_that_differs(hgq2, trained):
    assert "logits: " in hgq2("verify", trained / "run", code=1).stdout
    assert json.loads(hgq2("verify", trained / "run", "--json", code=1).stdout)["first_faulty"] == "logits"


@pytest.mark.usefixtures("wrong_logits")
def test_a_run_whose_integers_differ_is_json_alone_on_the_standard_output(hgq2, run):
    result = hgq2("calibrate", run, "--json", code=1)
    assert json.loads(result.stdout)["verify"]["mismatches"] > 0
    assert "logits: " in result.stderr


@pytest.mark.parametrize("command", ["report", "verify", "calibrate"])
@pytest.mark.parametrize("damage", ["truncate", "remove", "text"])
def test_a_damaged_model_is_a_message(command, damage, hgq2, run):
    path = run / "model.keras"
    whole = path.read_bytes()
    path.unlink()
    if damage != "remove":
        path.write_bytes(whole[: len(whole) // 2] if damage == "truncate" else b"no model")
    message = hgq2(command, run, code=2).stderr
    assert message.startswith("error: ") and "model.keras" in message


@pytest.mark.parametrize(
    "name, command", [("config.yaml", "verify"), ("metrics.json", "report"), ("history.json", "calibrate")]
)
def test_a_damaged_file_is_a_message(name, command, hgq2, run):
    (run / name).write_text("{oops")
    message = hgq2(command, run, code=2).stderr
    assert message.startswith("error: ") and name in message


def test_a_directory_that_is_no_run(hgq2, tmp_path):
    for command in ("report", "verify", "calibrate"):
        assert "run directory" in hgq2(command, tmp_path, code=2).stderr


def test_the_progress_line_shows_what_fits():
    logs = {"accuracy": 0.5, "loss": 2.0, "val_accuracy": 0.25, "val_loss": 3.0, "ebops": 12345.0, "front": 3}
    assert format_logs(logs, 80) == "val_accuracy 0.2500  EBOPs 12,345  val_loss 3.0000"
    assert format_logs(logs, 40) == "val_accuracy 0.2500  EBOPs 12,345"
    assert format_logs({"loss": 1.0, "binary_accuracy": 0.875}, 44) == "binary_accuracy 0.8750  loss 1.0000"
    assert format_logs({}, 44) == ""


def test_the_progress_line_fits_80_columns():
    console = Console(width=80, color_system=None, file=io.StringIO())
    progress = TrainingProgress(console)
    logs = {"val_binary_accuracy": 0.8765, "ebops": 12345.0, "val_loss": 0.1234}
    progress.add_task("train", total=1000, completed=500, logs=format_logs(logs, progress.room))
    console.print(progress.get_renderable())
    (line,) = console.file.getvalue().splitlines()
    assert "500/1000" in line and line.rstrip().endswith("val_binary_accuracy 0.8765  EBOPs 12,345")
