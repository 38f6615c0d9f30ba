"""The numbers and drawings of a report: classes told apart, residuals, bits, weights, ranges, exports, and the page."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from hgq2_core.cli.main import app
from hgq2_core.config.model import ModelConfig
from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import WriteError
from hgq2_training.report import analysis
from hgq2_training.report.analysis import outputs_of
from hgq2_training.report.bits import bit_map, slots_of, weights
from hgq2_training.report.classification import classification, labels_of, roc
from hgq2_training.report.drawings import bit_map as draw_map
from hgq2_training.report.drawings import histogram as draw_histogram
from hgq2_training.report.html import _environment
from hgq2_training.report.outputs import output_view
from hgq2_training.report.plots import pareto
from hgq2_training.report.regression import regression
from hgq2_training.runs.origin import digest, without_secrets
from hgq2_training.runs.report import record_export, report
from hgq2_training.runs.train import train

pytestmark = pytest.mark.once

# --- classes ---------------------------------------------------------------------------------------------------------


def test_the_curve_of_signal_over_background() -> None:
    x, y = roc(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert y.tolist() == [0, 0.5, 0.5, 1, 1]


def test_samples_of_the_same_score_pass_a_threshold_together() -> None:
    x, y = roc(np.array([True, False, True, False]), np.array([0.5, 0.5, 0.5, 0.1]))
    assert (x.tolist(), y.tolist()) == ([0, 0.5, 1], [0, 1, 1])


def test_two_classes_from_one_logit() -> None:
    found = classification(np.array([0, 0, 1, 1]), np.array([[-1.0], [0.2], [0.4], [3.0]]), from_logits=True)
    assert found is not None
    assert found["confusion"] == [[1, 1], [0, 2]]
    assert (found["recall"], found["precision"]) == ([0.5, 1.0], [1.0, 2 / 3])
    (curve,) = found["curves"]
    assert (curve["class"], curve["auc"]) == ("1", 1.0)


def test_the_threshold_of_a_probability_is_one_half() -> None:
    found = classification(np.array([0, 1]), np.array([[0.3], [0.4]]))
    assert found is not None and found["confusion"] == [[1, 0], [1, 0]]


def test_several_classes_from_logits_and_from_one_hot_targets() -> None:
    outputs = np.array([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 1.0], [0, 0, 2.0]])
    labels = np.array([0, 1, 2, 2])
    found = classification(labels, outputs, names=("a", "b", "c"))
    assert found is not None
    assert found["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert [(each["class"], each["auc"]) for each in found["curves"]] == [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    assert classification(np.eye(3)[labels], outputs, names=("a", "b", "c")) == found


def test_labels_of_every_step_of_a_sequence() -> None:
    y = np.array([[0, 1], [2, 1]])
    assert np.array_equal(labels_of(y, np.zeros((2, 2, 3))), [0, 1, 2, 1])  # type: ignore[arg-type]


def test_flags_are_a_question_each() -> None:
    y = np.array([[1, 1], [1, 0], [0, 0]])
    found = classification(y, np.array([[0.9, 0.8], [0.2, 0.4], [0.1, 0.3]]))
    assert found is not None
    assert (found["kind"], found["recall"]) == ("flags", [0.5, 1.0])
    assert [each["auc"] for each in found["curves"]] == [1.0, 1.0]


def test_efficiency_at_fixed_rejection_of_the_background() -> None:
    """100 of background spread over 0 to 1, 10 of signal: 4 above all background, the others below it."""
    scores = np.concatenate([np.arange(100) / 100, np.full(4, 2.0), np.full(6, -1.0)])
    found = classification(np.repeat([0, 1], [100, 10]), scores[:, None], from_logits=True)
    assert found is not None
    # Of a thousandth of the background there is no sample here.
    assert found["curves"][0]["efficiency"] == {"10": 0.4, "100": 0.4}


@pytest.mark.parametrize("y", [np.array([0.5, 1.0]), np.array([-1, 1]), np.array([0, 2])], ids=str)
def test_other_targets_are_no_classes(y: np.ndarray) -> None:
    assert classification(y, np.zeros((2, 1))) is None


def test_a_class_without_samples_has_no_recall_and_no_curve() -> None:
    found = classification(np.array([0, 0]), np.array([[2.0, 0.0], [1.0, 0.0]]))
    assert found is not None
    assert (found["recall"], found["precision"]) == ([1.0, None], [1.0, None])
    assert [each["auc"] for each in found["curves"]] == [None, None]


def test_many_classes_show_what_is_confused_most() -> None:
    labels = np.arange(40)
    scores = np.eye(40)[np.where(labels == 3, 4, labels)]
    found = classification(labels, scores)
    assert found is not None
    view = output_view("logits", found, 1)
    assert (view["confusion"], view["confused"]) == (None, [("3", "4", "1")])


def test_too_many_classes_and_texts_are_not_told_apart() -> None:
    assert classification(np.array([0, 1]), np.zeros((2, 501))) is None
    assert classification(np.array(["a", "b"]), np.zeros((2, 2))) is None
    assert regression(np.array(["a", "b"]), np.zeros((2, 1))) is None


def test_names_of_classes_may_hold_dollars() -> None:
    found = classification(np.array([0, 1]), np.eye(2), names=("a $x{ b$", "$"))
    assert found is not None
    drawn = output_view("logits", found, 1)["roc"]
    assert "a $x{ b$, AUC 1.0000" in drawn and "\\$" not in drawn


def test_an_output_without_axes_has_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.arange(12, dtype=np.float32)[:, None]
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.ops.sum(inputs, axis=1))
    config: Any = SimpleNamespace(training=None, data=None)
    splits = Splits(Split(x, x[:, 0]), Split(x, x[:, 0]))
    (found,) = outputs_of(model, splits, config).values()
    assert (found["samples"], found["of"], found["rows"][0]["bias"]) == (12, 1, 0.0)
    monkeypatch.setattr(analysis, "MOST_VALUES", 5)
    (few,) = outputs_of(model, splits, config).values()
    assert few["samples"] == 5


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_residuals_of_each_component() -> None:
    y = np.array([[0.0, 1.0], [2.0, 3.0]])
    found = regression(y, y + np.array([[1.0, 0.0], [1.0, 2.0]]), ("energy", "time"))
    assert found is not None
    rows = {row["name"]: (row["bias"], row["deviation"], row["r2"]) for row in found["rows"]}
    assert rows == {"all": (1.0, 0.5**0.5, -0.5), "energy": (1.0, 0.0, 0.0), "time": (1.0, 1.0, -1.0)}
    assert sum(found["histogram"]["counts"]) == 4
    assert found["points"] == [[0.0, 1.0], [1.0, 1.0], [2.0, 3.0], [3.0, 5.0]]


def test_residuals_of_constant_and_infinite_values() -> None:
    found = regression(np.zeros(3), np.array([0.0, 0.0, np.inf]))
    assert found is not None
    assert found["rows"][0]["r2"] is None
    assert sum(found["histogram"]["counts"]) == 2


# --- bits and weights ------------------------------------------------------------------------------------------------


def test_a_map_has_the_last_axis_across_and_is_bounded() -> None:
    assert bit_map(np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert bit_map(np.array([[[1], [2]], [[3], [4]]])) == [[1, 2], [3, 4]]
    large = bit_map(np.full((200, 500), 3.0))
    assert (len(large), len(large[0]), {bits for row in large for bits in row}) == (64, 64, {3})


def test_weights_that_are_zero_are_counted_apart() -> None:
    found = weights(np.array([0, 0, 0.5, -0.25]))
    assert (found["zeros"], found["size"], sum(found["counts"]), found["edges"]) == (2, 4, 2, [-0.5, 0.5])
    assert weights(np.zeros(3))["counts"] == []


def test_a_map_joins_cells_of_the_same_bits() -> None:
    drawn = draw_map("m", "bits", [[2, 2, 0], [0, 1, 1]])
    assert re.findall(r'fill-opacity="([\d.]+)" d="([^"]*)"', drawn) == [
        ("0.50", "M1 1h2v1h-2z"),
        ("1.00", "M0 0h2v1h-2z"),
    ]


def test_a_histogram_names_the_ends_and_zero() -> None:
    drawn = draw_histogram("h", "values of <a>", [1, 0, 2], [-1.0, 2.0])
    assert re.findall(r">([^<>]+)</text>", drawn) == ["-1", "0", "2"]
    assert "values of &lt;a&gt;" in drawn and "3 values from -1 to 2" in drawn


# --- a whole run -----------------------------------------------------------------------------------------------------

CONFIG = {
    "seed": 3,
    "defaults": {"activation": {"kind": "kif", "i": 3, "f": 3, "overflow_mode": "WRAP"}},
    "model": {
        "inputs": {"x": {"shape": [4]}},
        "layers": [
            {"kind": "dense", "name": "hidden", "units": 6, "activation": "relu"},
            {"kind": "dense", "name": "energy", "units": 2, "inputs": ["hidden"]},
            {"kind": "dense", "name": "label", "units": 3, "inputs": ["hidden"]},
        ],
        "outputs": ["energy", "label"],
    },
    "training": {
        "loss": {
            "energy": "mean_squared_error",
            "label": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        },
        "metrics": {"energy": ["mean_absolute_error"], "label": ["accuracy"]},
        "epochs": 3,
        "batch_size": 64,
        "callbacks": [{"kind": "pareto_front", "metrics": ["val_label_accuracy", "ebops"]}],
    },
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, :2] * 2).astype(np.float32)
    np.savez(folder / "data.npz", x=x, energy=y, label=np.digitize(x[:, 2], [-0.5, 0.5]))
    data = {"kind": "npz", "path": str(folder / "data.npz"), "x": "x", "y": {"energy": "energy", "label": "label"}}
    train(ModelConfig.parse({**CONFIG, "data": data}), folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def text_of(path: Path) -> str:
    return (path / "report.html").read_text(encoding="utf-8")


def test_the_page_has_each_output_with_what_fits_it(trained: Path) -> None:
    text = text_of(trained)
    headings = re.findall(r"<h[23][^>]*>([^<]+)</h", text)
    depends = ("Findings", "Bits of the weights, element by element")  # on what the training came to
    assert [each for each in headings if each not in depends] == [
        *("Training", "Pareto front", "Output energy", "Output label", "Confusion matrix", "Layers", "Bits"),
        *("Weights", "Ranges", "Configuration"),
    ]
    for word in (
        "price of a bit operation, β",
        "learning rate",
        "label accuracy",
        "energy mean absolute error",
        "Residuals of energy",
    ):
        assert f">{word}" in text, word


def test_the_header_says_where_the_run_comes_from(trained: Path) -> None:
    origin = json.loads((trained / "origin.json").read_text())
    rows = dict(re.findall(r"<dt>(\w+)</dt><dd>([^<]*)</dd>", text_of(trained)))
    assert rows.keys() == {"data", "seed", "date", "command", "device"}
    assert rows["data"] == f"training.npz; 195 train, 30 validation, 75 test; digest {origin['data'][:12]}"
    assert rows["seed"] == "3"
    assert rows["device"].startswith("torch on cpu, ")


def test_every_epoch_has_learning_rate_and_price(trained: Path) -> None:
    history = json.loads((trained / "history.json").read_text())
    assert [logs["learning_rate"] for logs in history] == pytest.approx([0.001] * 3)
    assert all(logs["ebops_beta"] > 0 for logs in history)


def test_text_of_figures_has_the_colour_of_the_page(trained: Path) -> None:
    figures = re.findall(r"<svg.*?</svg>", text_of(trained), re.S)
    assert len(figures) > 10
    for figure in figures:
        assert re.match(r'<svg role="img" aria-labelledby="([\w-]+)-title \1-desc"', figure)
        (title,), (description,) = (
            re.findall(r"<title[^>]*>(.*?)</title>", figure),
            re.findall(r"<desc[^>]*>(.*?)</desc>", figure),
        )
        assert title and description
        for style in re.findall(r'<text[^>]* style="([^"]*)"', figure):
            assert "fill: currentColor" in style or "fill" not in style
    assert not re.search(r"(?:fill|stroke|color): #[0-9a-f]{6}", "".join(figures))


def test_the_analysis_adds_up(trained: Path) -> None:
    found = json.loads((trained / "analysis.json").read_text())
    metrics = json.loads((trained / "metrics.json").read_text())["test"]
    label = found["outputs"]["label"]
    right = sum(label["confusion"][k][k] for k in range(3))
    assert right / 75 == pytest.approx(metrics["label_accuracy"])
    (kernel,) = [each for each in found["slots"] if (each["layer"], each["slot"]) == ("hidden", "kernel")]
    assert sum(kernel["bits"].values()) == kernel["weights"]["size"] == 24
    assert {each["name"] for each in found["health"]["layers"]} == {"hidden", "energy", "label"}


def test_a_model_of_the_front_has_a_page_of_its_own(run: Path) -> None:
    before = text_of(run)
    found = report(run, front=0)
    assert found.page is not None and found.page.parent == run / "front"
    text = found.page.read_text(encoding="utf-8")
    assert "<h1>run --front 0</h1>" in text
    assert "test label accuracy" in text
    assert text_of(run) == before


def test_json_has_the_keys_of_before_and_more(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    found = json.loads(CliRunner().invoke(app, ["report", str(run), "--json"]).stdout)
    assert found.keys() == {"directory", "summary", "analysis", "page", *metrics}
    assert Path(found["page"]) == run / "report.html"


def test_the_page_is_opened_on_request(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    result = CliRunner().invoke(app, ["report", str(run), "--open"])
    assert result.exit_code == 0, result.output
    assert opened == [(run / "report.html").resolve().as_uri()]


def test_a_run_from_before_is_analyzed_when_it_is_asked_for(run: Path) -> None:
    expected = json.loads((run / "analysis.json").read_text())["outputs"]
    for name in ("analysis.json", "origin.json", "report.html"):
        (run / name).unlink()
    assert json.loads(json.dumps(report(run).analysis))["outputs"] == expected
    assert (run / "analysis.json").is_file()
    assert "<dt>date</dt>" not in text_of(run)


def test_without_its_data_a_run_from_before_has_the_rest(run: Path) -> None:
    (run / "analysis.json").unlink()
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("data.npz", "gone.npz"))
    found = report(run)
    assert found.analysis == {}
    assert found.notes[0].startswith("without predictions and ranges, since the data cannot be read: ")
    assert "Confusion matrix" not in text_of(run) and "Layers" in text_of(run)


def test_a_run_that_cannot_be_written_to_is_shown_all_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise WriteError(f"{path}: cannot be written")

    monkeypatch.setattr("hgq2_training.runs.report.write_text", refuse)
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 0
    assert "the page is not written" in result.stderr
    assert "EBOPs" in result.stdout


def test_an_export_stands_on_the_page(run: Path, tmp_path: Path) -> None:
    ebops = json.loads((run / "metrics.json").read_text())["ebops"]
    made = {
        "exporter": "a.b",
        "path": "rtl/x",
        "ebops": ebops,
        "cost": 1234.0,
        "latency": 5.5,
        "stages": 2,
        "checked": 9,
    }
    record_export(run, {**made, "simulation": None}, None)
    record_export(run, {**made, "cost": 2345.0, "simulation": {"samples": 90, "mismatches": 0}}, None)
    record_export(run, {**made, "path": "rtl/y", "simulation": None}, 0)
    record_export(run, {**made, "path": "rtl/z", "ebops": ebops + 1, "simulation": None}, None)
    report(run)
    rows = re.findall(r"<tr><td>(rtl/.)</td>(.*?)</tr>", text_of(run))
    cells = {name: re.findall(r">([^<]*)</td>", rest) for name, rest in rows}
    assert cells == {
        "rtl/x": ["a.b", "the run", "2,345", "5.5", "2", "0 mismatches in 90"],
        "rtl/y": ["a.b", "--front 0", "1,234", "5.5", "2", ""],
        "rtl/z": ["a.b", "the run, before it changed", "1,234", "5.5", "2", ""],
    }


def test_a_baseline_is_a_line_on_the_front(run: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "float")
    assert report(run, baseline=tmp_path / "float").notes == ()
    (front,) = re.findall(r'<svg[^>]*"front-title.*?</svg>', text_of(run), re.S)
    assert ">float</text>" in front
    (tmp_path / "float" / "history.json").write_text("[]")
    assert report(run, baseline=tmp_path / "float").notes == ("--baseline: float has no val_label_accuracy to draw",)


def test_a_digest_tells_data_apart() -> None:
    x, y = np.zeros((4, 2), np.float32), np.arange(4)
    one = digest(Splits(Split(x, y), Split(x, y)))
    assert digest(Splits(Split(x.copy(), y.copy()), Split(x, y))) == one
    assert len({one, digest(Splits(Split(x + 1, y), Split(x, y))), digest(Splits(Split(x, y[::-1]), Split(x, y)))}) == 3


def test_texts_of_users_are_escaped() -> None:
    template = _environment().from_string(
        '{% import "parts.html" as parts %}{{ parts.heat("<l>", "<c>", ["<h>"], [("<n>", [("<t>", 1.0)])]) }}'
    )
    assert not re.findall(r"<[lchnt]>", template.render())


def test_quantizers_in_a_layer_that_is_applied_twice_are_shown_once() -> None:
    from hgq2_layers import QDense

    shared, inputs = QDense(3, name="shared"), keras.Input((3,))
    model = keras.Model(inputs, shared(shared(inputs)))
    assert [(each["layer"], each["slot"]) for each in slots_of(model)] == [
        ("shared", "input"), ("shared", "kernel"), ("shared", "bias")
    ]  # fmt: skip


class Ids(HTMLParser):
    """The ids of a page, and what refers to them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "id":
                self.ids.append(str(value))
            elif name == "aria-labelledby":
                self.references |= set(str(value).split())
            elif name in ("href", "xlink:href"):
                assert str(value).startswith("#"), value
                self.references.add(str(value)[1:])


def test_references_on_the_whole_page_lead_somewhere(trained: Path) -> None:
    found = Ids(text_of(trained))
    assert len(found.ids) == len(set(found.ids))
    assert found.references <= set(found.ids)


def test_a_front_without_other_metrics_is_not_drawn() -> None:
    front: dict[str, Any] = {"directions": {"ebops": "min"}, "entries": [{"epoch": 0, "metrics": {"ebops": 1.0}}]}
    assert pareto(front) is None


def test_secrets_of_a_command_are_not_recorded() -> None:
    secret = ["--wandb-token", "s3", "--password=s3", "API_KEY=s3", "--token", "-v"]
    assert without_secrets(secret) == ["--wandb-token", "***", "--password=***", "API_KEY=***", "--token", "-v"]
    plain = ["train", "a.yaml", "--set", "model.layers.a.tokens=8", "-o", "runs/token"]
    assert without_secrets(plain) == plain
