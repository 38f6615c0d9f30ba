"""The gallery: every example has a page, committed results within its bounds, and learns as cheaply in a training."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from selection import nightly, slow

from hgq2_core.config.model import load_config
from hgq2_training.runs.train import train

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "gallery"
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples" / "sequences").glob("*.yaml")])
TRAINED_ELSEWHERE = {
    "digits",
    "magic",
    "transformer",
    "digits_minifloat",
    "magic_minifloat",
    "vowels_attention",
    "vowels_rnn",
}
"""By tests that ask more of them."""
REPRESENTATIVE = ("anomaly",)
"""Also trained in the slow tests, with one seed."""
CASES = [(path, seed) for path in EXAMPLES if path.stem not in TRAINED_ELSEWHERE for seed in range(3)]

once = pytest.mark.once


def results() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / "docs" / "results" / "gallery.json").read_text(encoding="utf-8"))["results"])


def metric(test: dict[str, float]) -> float:
    (found,) = (value for name, value in test.items() if name != "loss")
    return found


@once
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_row_of_bounds_and_a_page_with_its_config_and_results(path, claims):
    assert path.stem in claims
    pages = [page.read_text(encoding="utf-8") for page in PAGES.glob("*.md") if page.name != "index.md"]
    (page,) = (text for text in pages if f"<!-- config: {path.relative_to(ROOT)} -->" in text)
    assert f"<!-- results: {path.stem} -->" in page
    assert f"hgq2 train {path.relative_to(ROOT)} -o runs/{path.stem}\n" in page


@once
def test_the_bounds_stand_beside_the_name_where_a_phone_shows_them():
    table = (PAGES / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[([^]]+)\]\(\w+\.md\) \| ([\d.]+ %) \| ([\d,]+) \| .*`examples/", table, re.MULTILINE)
    assert len(rows) == len(EXAMPLES)
    assert max(len("".join(row)) for row in rows) < 40


@once
def test_the_generated_parts_are_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    written = importlib.import_module("write_gallery").written
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert text == written(text), f"{page.name}: run scripts/write_gallery.py"


@once
def test_every_picture_is_on_a_page_and_follows_it_into_the_dark():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    pictures = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.svg")}
    assert pictures.keys() == set(re.findall(r"\]\(([\w.]+\.svg)\)", text))
    assert all("prefers-color-scheme: dark" in svg and "<title" in svg for svg in pictures.values())


@once
def test_committed_results_keep_the_bounds(claims):
    for row in results():
        least, most = claims[row["example"]]
        assert metric(row["test"]) >= least and row["ebops"] <= most, row


@pytest.mark.parametrize(
    ("path", "seed"),
    [(slow if path.stem in REPRESENTATIVE and seed == 0 else nightly)(path, seed) for path, seed in CASES],
    ids=[f"{path.stem}-{seed}" for path, seed in CASES],
)
def test_it_learns_as_cheaply_and_exactly_as_the_gallery_says(tmp_path, claims, path, seed):
    run = train(load_config(path, [f"seed={seed}"]), tmp_path / "run")
    least, most = claims[path.stem]
    assert metric(run.metrics["test"]) >= least
    assert run.metrics["ebops"] <= most
    assert run.verification.mismatches == 0
