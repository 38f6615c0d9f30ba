"""The front page and those of the plugins: blocks and commands run, on models as small as a first one."""

from __future__ import annotations

import importlib
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from code_blocks import code_blocks, run
from guide import STEP, lines, output

import hgq2_core
from hgq2_core import load_config
from hgq2_fixed_point import KIF
from hgq2_layers import QLSTM, QDense
from hgq2_training.runs.train import train

ROOT = Path(__file__).resolve().parents[2]
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.once, pytest.mark.slow]

MODEL = """
model:
  inputs: {parameters: {shape: [10]}}
  layers: [{kind: dense, units: 2}]
"""
"""What the page of hgq2-training leaves out of its config."""

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each page is read in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_block(page: Path, number: int, **names: Any) -> dict[str, Any]:
    """Run a python block of a page, and return the names that it defined beside those that it may use."""
    assert run(page, list(code_blocks(page))[number], names) == ""
    return names


def readme(plugin: str) -> Path:
    return ROOT / "plugins" / plugin / "README.md"


def write_config(page: Path, file: Path, before: str = "") -> None:
    """Write the config that a page shows, behind sections that it leaves out."""
    (shown,) = YAML.findall(page.read_text(encoding="utf-8"))
    file.parent.mkdir(exist_ok=True)
    file.write_text(before + shown, encoding="utf-8")


def calibrated(*layers: keras.layers.Layer, shape: tuple[int, ...]) -> tuple[keras.Model, np.ndarray]:
    model = keras.Sequential([keras.Input(shape, name="pixels"), *layers])
    x = np.random.default_rng(0).uniform(-1, 1, (32, *shape)).astype("float32")
    hgq2_core.calibrate(model, x)
    return model, x


def test_the_front_page_trains_and_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    run_block(ROOT / "README.md", 0)
    assert "0 of 449 differ" in capsys.readouterr().out
    hooks = run_block(ROOT / "README.md", 1)
    assert hooks["hgq2_quantizers"]() == {"rounder": "my_package.rounder:Rounder"}


@needs_compiler
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs iverilog")
def test_the_commands_of_the_front_page_take_its_config_to_each_circuit() -> None:
    page = ROOT / "README.md"
    write_config(page, Path("examples/digits.yaml"))
    (commands,) = (step["commands"] for step in STEP.finditer(page.read_text(encoding="utf-8")) if "export" in step[1])
    first, *exports = [line for line in lines(commands) if line.startswith("hgq2 ")]
    assert "arithmetic verified: 0 mismatches in 449 samples" in output(f"{first.partition('#')[0]} --epochs 2")
    assert len(exports) == 4
    for command in exports:
        assert re.search(r"^0 mismatches in \d+ samples", output(command), re.MULTILINE), command


@pytest.mark.parametrize("plugin", ["fixed_point", "layers", "minifloat"])
def test_the_blocks_of_a_plugin_need_nothing_else(plugin: str) -> None:
    run_block(readme(plugin), 0)


def test_comments_of_a_plugin_say_what_its_function_gives() -> None:
    for plugin in ("fixed_point", "minifloat"):
        (call, said) = re.findall(r"^(quantize\(.*\))  # (\[.*?\])", readme(plugin).read_text(), re.MULTILINE)[0]
        names = run_block(readme(plugin), 0)
        assert eval(call, names).tolist() == eval(said)


def test_attention() -> None:
    names = run_block(readme("attention"), 0, x=keras.Input((5, 16)))
    assert names["outputs"].shape == (None, 5, 16)


def test_alkaid() -> None:
    pytest.importorskip("pyosys", reason="needs pip install 'hgq2-alkaid[yosys]'")
    page = readme("alkaid")
    model, x = calibrated(QDense(3), shape=(4,))
    assert run_block(page, 0, model=model, x_test=x)["report"].checked > 256
    run_block(page, 2)
    shutil.rmtree("rtl")
    model, x = calibrated(QDense(2, input_quantizer=KIF(granularity="channel")), shape=(32, 2))
    report = run_block(page, 1, model=model, x_test=x, export=hgq2_core.export)["report"]
    assert "one circuit for 2 of 32 positions at a time: q_dense" in str(report)


@needs_compiler
def test_cpp(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    model, x = calibrated(QDense(3), shape=(4,))
    run_block(readme("cpp"), 0, model=model, x_test=x)
    monkeypatch.syspath_prepend(str(folder / "emulator"))
    names = run_block(readme("cpp"), 1, x=x)
    assert (names["y"] == model.predict(x, verbose=0)).all()


@needs_compiler
def test_cpp_with_states(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    stream = keras.Sequential([keras.Input((1, 2), batch_size=3), QLSTM(2, stateful=True, return_sequences=True)])
    steps = np.random.default_rng(0).uniform(-1, 1, (4, 3, 1, 2)).astype("float32")
    hgq2_core.calibrate(stream, steps.reshape(-1, 1, 2))
    hgq2_core.reset_states(stream)
    hgq2_core.export(stream, "cpp", folder / "emulator", steps[0], name="stream")
    monkeypatch.syspath_prepend(str(folder / "emulator"))
    emulator = importlib.import_module("stream").Emulator
    names = run_block(readme("cpp"), 2, Emulator=emulator, np=np, samples=3, steps=steps)
    assert (names["y"] == [stream.predict(step, verbose=0) for step in steps][-1]).all()


@needs_compiler
def test_hls4ml() -> None:
    model, x = calibrated(QDense(3), shape=(4,))
    report = run_block(readme("hls4ml"), 0, model=model, x_test=x)["report"]
    assert Path("hls/firmware").is_dir() and report.checked > len(x)


def test_qonnx() -> None:
    pytest.importorskip("qonnx", reason="needs pip install hgq2-qonnx")
    model, x = calibrated(QDense(3), shape=(4,))
    run_block(readme("qonnx"), 0, model=model, x_test=x)
    ((_, y),) = run_block(readme("qonnx"), 1, x_test=x)["y"].items()
    assert (y == hgq2_core.freeze(model).predict(x[:1], verbose=0)).all()


def test_training(folder: Path) -> None:
    model, _ = calibrated(QDense(10), shape=(64,))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    block = next(code_blocks(readme("training")))
    names: dict[str, Any] = {"model": model}
    assert run(readme("training"), replace(block, code=block.code.replace("epochs=100", "epochs=2")), names) == ""
    assert Path("front/front.json").is_file()
    write_config(readme("training"), folder / "mine.yaml", MODEL)
    loss = "training.loss={kind: sparse_categorical_crossentropy, from_logits: true}"
    config = load_config(folder / "mine.yaml", ["training.epochs=1", "training.metrics=[accuracy]", loss])
    train(config, folder / "runs" / "mine")
    names = run_block(readme("training"), 1, raw=np.ones((2, 10), "float32"))
    raw = hgq2_core.load_model("takes_raw_inputs.keras")
    np.testing.assert_allclose(
        raw.predict(np.ones((2, 10)), verbose=0),
        names["model"].predict(names["standardization"](np.ones((2, 10))), verbose=0),
        atol=2**-6,
    )
