"""Figures and fronts as Python and notebooks get them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import pytest

from hgq2_core.errors import ConfigError
from hgq2_fixed_point import KBI
from hgq2_layers import QDense
from hgq2_training import ParetoFront, plot_bits, plot_comparison, plot_curves, plot_front, plot_values, read_front
from hgq2_training.callbacks.front import Entry

pytestmark = pytest.mark.once

CONFIG = """\
model:
  inputs: {x: {shape: [2]}}
  layers: [{kind: layers.dense, name: out, units: 1}]
"""
HISTORY = [{"epoch": epoch, "loss": 1.0 - 0.2 * epoch, "ebops": 900.0 - epoch} for epoch in range(3)]


def write_run(directory: Path) -> Path:
    (directory / "front").mkdir(parents=True)
    (directory / "config.yaml").write_text(CONFIG)
    (directory / "metrics.json").write_text(json.dumps({"test": {"accuracy": 0.9}, "ebops": 800.0, "seconds": 1.0}))
    (directory / "history.json").write_text(json.dumps(HISTORY))
    entries = [{"epoch": n, "metrics": {"val_accuracy": 0.9 - n / 10, "ebops": 800 - n}, "file": "x"} for n in range(3)]
    front = {"directions": {"val_accuracy": "max", "ebops": "min"}, "entries": entries}
    (directory / "front" / "front.json").write_text(json.dumps(front))
    return directory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def callback() -> ParetoFront:
    callback = ParetoFront(["val_accuracy", "ebops"])
    for epoch in range(3):
        callback.front.offer(Entry(epoch, {"val_accuracy": 0.7 + epoch / 10, "ebops": 1000.0 + epoch}))
    return callback


def test_a_figure_is_in_the_colours_of_the_page(run: Path) -> None:
    html = plot_front(run)._repr_html_()
    assert html.startswith("<svg")
    assert "currentColor" in html
    assert not re.search(r": #[0-9a-f]{6}", html.replace("#ffffff", "")), "a colour that no page can change"


def test_a_figure_is_written_by_matplotlib(run: Path, tmp_path: Path) -> None:
    plot_front(run).savefig(tmp_path / "front.pdf")
    assert (tmp_path / "front.pdf").read_bytes().startswith(b"%PDF")


def test_the_front_of_a_run_and_of_a_callback(run: Path, callback: ParetoFront) -> None:
    (axes,) = plot_front(run).axes
    assert axes.get_xlabel() == "EBOPs"
    (axes,) = plot_front(callback).axes
    assert axes.lines[0].get_xdata().tolist() == [1000, 1001, 1002]


def test_a_run_without_a_front_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no front of EBOPs and another metric\. Received: .*nothing"):
        plot_front(tmp_path / "nothing")


def test_the_bits_of_each_quantizer() -> None:
    model = keras.Sequential([keras.Input((4,)), QDense(2, name="one$"), QDense(1, name="two")])
    (axes,) = plot_bits(model).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == [r"one\$ input", r"one\$ kernel", r"one\$ bias"]
    assert [line.get_xdata().tolist() for line in axes.lines[2:4]] == [[8, 8], [8]]


def test_a_model_without_quantizers_has_no_bits_to_draw() -> None:
    with pytest.raises(ConfigError, match="the model has no quantizers"):
        plot_bits(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))


def test_the_values_of_a_format() -> None:
    line, _ = plot_values(KBI(b=2, i=1)).axes
    assert line.get_title(loc="left") == "fixed_point.kbi: 7 values"


def test_a_format_of_too_many_values_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"only a quantizer that lists its values .* Received: fixed_point.kbi"):
        plot_values(KBI(b=20, i=0))


def test_curves_and_a_comparison(run: Path, tmp_path: Path) -> None:
    assert list(plot_curves(run)) == ["loss", "EBOPs"]
    (axes,) = plot_comparison(run, write_run(tmp_path / "other")).axes
    assert axes.get_ylabel() == "accuracy"


def test_the_fronts_are_tables(run: Path, callback: ParetoFront) -> None:
    front = read_front(run)
    assert [point.ebops for point in front] == [798, 799, 800]
    assert '<td style="text-align: right">798.0000</td>' in front._repr_html_()
    assert "val_accuracy" in str(front)
    rows = re.findall(r"<tr><td[^>]*>(\d+)</td>", callback._repr_html_())
    assert rows == ["0", "1", "2"]
