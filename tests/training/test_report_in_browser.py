"""The report in a real browser: it fits a phone and a desktop, has dark colours, and loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, browser, needs_chromium

from hgq2_core import load_config
from hgq2_training.runs.report import record_export, report
from hgq2_training.runs.train import train

pytestmark = [pytest.mark.slow, pytest.mark.once, needs_chromium]

DIGITS = Path(__file__).parents[2] / "examples" / "digits.yaml"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("browser") / "a_run_with_a_name_that_is_long_enough_to_be_wider_than_a_telephone"
    train(load_config(DIGITS), run, epochs=8)
    made = {"exporter": "a.b", "path": "rtl", "ebops": 1.0, "cost": 1.0, "latency": 5.5, "stages": 2, "checked": 9}
    record_export(run, {**made, "simulation": {"samples": 90, "mismatches": 0}}, None)
    found = report(run)
    assert found.page is not None
    return found.page.as_uri()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window(page: Page, url: str, width: int, dark: bool) -> None:
    page.open(url, width, dark=dark)
    assert page.overflow == 0
    assert page.problems == []


def test_wide_tables_scroll_in_their_boxes(page: Page, url: str) -> None:
    page.open(url, 390)
    scrolling = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth).map(b => b.ariaLabel)"
    )
    assert "Layers" in scrolling


def test_the_dark_has_colours_of_its_own_that_can_be_read(page: Page, url: str) -> None:
    seen = []
    for dark in (False, True):
        page.open(url, 1280, dark=dark)
        seen.append(page.evaluate(CONTRASTS))
    light, dark_ones = seen
    assert light.keys() == dark_ones.keys()
    assert all(light[name]["color"] != dark_ones[name]["color"] for name in light)
    for found in seen:
        assert {name: each["contrast"] for name, each in found.items() if each["contrast"] < 4.5} == {}


CONTRASTS = """(() => {
  const channels = css => css.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const light = css => channels(css).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const found = {};
  for (const name of ['h1', 'nav a', '.tile b', '.note', 'td', 'th', 'figcaption', 'svg text', 'summary', 'dt']) {
    const style = getComputedStyle(document.querySelector(name));
    const color = name.startsWith('svg') ? style.fill : style.color;
    const [low, high] = [light(color), ground].sort((a, b) => a - b);
    found[name] = {color, contrast: (high + .05) / (low + .05)};
  }
  return found;
})()"""


def test_text_in_figures_is_large_enough_on_a_phone(page: Page, url: str) -> None:
    page.open(url, 390)
    sizes = page.evaluate(
        """[...document.querySelectorAll('svg text')].map(text => {
          const box = text.getBoundingClientRect();
          return Math.min(box.width, box.height) ? Math.min(box.height, Math.max(box.width, box.height)) : 99;
        })"""
    )
    assert min(sizes) >= 8


def test_every_figure_is_named_for_those_who_do_not_see_it(page: Page, url: str) -> None:
    page.open(url, 1280)
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in tree if node.get("role", {}).get("value") in ("image", "img")]
    assert len(images) >= 10
    assert all(node["name"]["value"] for node in images)
