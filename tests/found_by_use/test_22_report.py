"""The page of a run reads on a phone, in the dark, and to those who do not see its figures; numbers look alike."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from hgq2_core.commands.plots import COLORS
from hgq2_core.model.cost import LayerRow, SlotRow, Summary
from hgq2_core.model.number_format import format_count, format_metric, format_share
from hgq2_training.report.html import Contents, page, style

pytestmark = pytest.mark.once

STYLE = style()

METRICS = {
    "test": {"accuracy": 0.97314, "loss": None},
    "ebops": 30196.4,
    "ebops_before_calibration": 49936.2,
    "verify": {"mismatches": 0, "samples": 4755},
    "seconds": 12.34,
    "versions": {"keras": "3.15.1"},
    "findings": [
        {
            **{"severity": "error", "check": "uncalibrated", "layer": "a<b", "slot": "kernel", "numbers": {}},
            **{"seen": "1 < 2", "remedy": "Train & again."},
        }
    ],
}
LAYERS = Summary(
    (
        LayerRow(
            *("a<b", "layers.dense", (8, 8)),
            (
                SlotRow("kernel", "fixed_point.kbi", 4.156, 1, 12.0, 0.154),
                SlotRow("bias", "fixed_point.kbi", 2.0, 2, 2, None),
            ),
            12345.6,
        ),
    )
)
HISTORY = [
    {"epoch": epoch, "loss": 1 / (epoch + 1), "val_loss": 0.5, "accuracy": 0.5, "val_accuracy": 0.5, "ebops": 9e4}
    for epoch in range(3)
]
FRONT = {
    "directions": {"val_accuracy": "max", "ebops": "min"},
    "entries": [{"epoch": 1, "metrics": {"val_accuracy": 0.5, "ebops": 3e4}}],
}


@pytest.fixture(scope="module")
def text():
    return page(Contents("run", METRICS, LAYERS, "seed: 0\n", HISTORY, FRONT))


class Document(HTMLParser):
    """The elements of a page, each with its attributes, its ancestors, and the text inside."""

    VOID = ("meta", "br", "path", "use", "rect")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        element = {
            "tag": tag,
            "attributes": dict(attributes),
            "text": "",
            "inside": [each["tag"] for each in self.open],
        }
        self.elements.append(element)
        if tag not in self.VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]


@pytest.fixture(scope="module")
def document(text):
    return Document(text)


def test_it_fits_the_screen_and_the_scheme(document):
    named = {element["attributes"].get("name"): element["attributes"] for element in document.all("meta")}
    assert named["viewport"]["content"] == "width=device-width, initial-scale=1"
    assert named["color-scheme"]["content"] == "light dark"
    assert document.all("html")[0]["attributes"]["lang"] == "en"


def test_every_colour_has_one_for_the_dark(text):
    light, _, dark = STYLE.partition("@media (prefers-color-scheme: dark)")
    names = set(re.findall(r"var\((--[a-z-]+)", text))
    assert names <= {f"--plot-{name}" for name in COLORS} | set(re.findall(r"(--[a-z]+):", light)) | {"--share"}
    assert names - {"--share"} <= set(re.findall(r"(--[a-z-]+):", dark))
    assert not re.findall(r"(?:fill|stroke|color): #[0-9a-f]{6}", text)


def test_the_table_scrolls_in_a_box_that_a_keyboard_reaches(document):
    assert [table["inside"][-1] for table in document.all("table")] == ["div", "div"]
    boxes = [each["attributes"] for each in document.all("div") if each["attributes"].get("class") == "scroll"]
    box = {"class": "scroll", "role": "region", "tabindex": "0"}
    assert boxes == [{**box, "aria-label": "Pareto front"}, {**box, "aria-label": "Layers"}]
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", STYLE)
    assert [each["attributes"].get("scope") for each in document.all("th")] == ["col"] * (4 + 9)
    assert {each["inside"][-2] for each in document.all("th")} == {"thead"}


def test_each_figure_is_tall_enough_and_described(document):
    figures = document.all("svg")
    assert [each["text"].split("\n")[0] for each in document.all("title")[1:]] == [
        "loss over 3 epochs",
        "accuracy over 3 epochs",
        "EBOPs over 3 epochs",
        "Models that no other one beats, by EBOPs and metric: 1",
    ]
    for each in figures:
        assert each["attributes"]["role"] == "img"
        title, _ = each["attributes"]["aria-labelledby"].split()
        assert title == next(t for t in document.all("title")[1:] if t["text"] in each["text"])["attributes"]["id"]
        assert "figure" in each["inside"]
        _, _, width, height = map(float, each["attributes"]["viewbox"].split())
        assert 358 * height / width > 200  # what 390 pixels leave


def test_no_id_is_given_twice(document):
    ids = [each["attributes"]["id"] for each in document.elements if "id" in each["attributes"]]
    assert len(ids) == len(set(ids))


def test_references_lead_somewhere(text, document):
    ids = {each["attributes"].get("id") for each in document.elements}
    found = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert found
    assert found <= ids


def test_it_needs_nothing_else(text):
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)


def test_ebops_say_which_they_are(document):
    captions = [element["text"] for element in document.all("span")]
    assert "EBOPs, calibrated; 49,936 before" in captions
    assert "before calibration" in document.all("svg")[2]["text"]
    assert "every epoch, before calibration" in document.all("svg")[3]["text"]


def test_the_arithmetic_is_verified_and_nothing_is_called_good(text, document):
    tiles = [element["text"] for element in document.all("div") if "tile " in element["attributes"].get("class", "")]
    assert "0mismatches in 4,755 test samples: arithmetic verified" in tiles
    assert "good" not in text


def test_findings_are_listed_with_their_remedies(document):
    assert [element["text"] for element in document.all("li")] == ["error a<b.kernel: 1 < 2Train & again."]


def test_a_page_of_before_has_no_findings_and_no_epochs():
    metrics = {name: value for name, value in METRICS.items() if name not in ("findings", "ebops_before_calibration")}
    document = Document(page(Contents("run", metrics, LAYERS, "")))
    assert not document.all("li") + document.all("svg")
    assert "EBOPs" in [element["text"] for element in document.all("span")]


def test_numbers_are_those_of_the_table_on_the_terminal(document):
    shown = str(LAYERS)
    cells = [each["text"] for each in document.all("td") if each["attributes"].get("class") == "n"]
    assert [cell.strip() for cell in cells[3:8]] == ["4.16", "1", "12", "15%", "12,346"]
    assert all(cell.strip() in shown for cell in cells[3:])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.97314, "0.9731"),
        (12.0, "12.0000"),
        (1234.5, "1,234"),
        (2.5e-5, "2.50e-05"),
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
    ],
)
def test_metrics_have_one_format(value, shown):
    assert format_metric(value) == shown


def test_counts_and_shares_have_one_format():
    assert (format_count(49936.4), format_share(0.154), format_share(None)) == ("49,936", "15%", "")
