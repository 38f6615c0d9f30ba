"""Every page of the site in a real browser: it fits a phone and a desktop, light and dark, and its search finds."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chromium import Page, browser, needs_chromium

ROOT = Path(__file__).resolve().parents[2]
DESKTOP, PHONE = 1280, 390
SCHEMES = {False: "default", True: "slate"}
"""What the theme calls light and dark."""

pytestmark = [pytest.mark.once, pytest.mark.nightly, needs_chromium]

pytest.importorskip("material", reason="needs pip install -r requirements-docs.txt")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_no_page_is_wider_than_a_phone_or_complains_or_hides_a_picture(site: Path, address: str, page: Page) -> None:
    pages = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    assert len(pages) > 60
    found: dict[str, Any] = {}
    for name in pages:
        page.problems.clear()
        page.open(address + name, DESKTOP)
        for width in (DESKTOP, PHONE):
            page.resize(width)
            found |= {f"{name} at {width}": page.overflow} if page.overflow else {}
        found |= {f"{name}: console": page.problems[:]} if page.problems else {}
        found |= {f"{name}: {picture}": "not drawn" for picture in page.evaluate(NOT_DRAWN)}
        found |= {f"{name}: {table}": "a table that is cut off" for table in page.evaluate(CUT_OFF)}
    assert found == {}


NOT_DRAWN = """[...document.querySelectorAll('article img')]
  .filter(image => !image.complete || !image.naturalWidth || !image.alt).map(image => image.src)"""
CUT_OFF = """[...document.querySelectorAll('article table:not([class])')].filter(table => {
    const box = table.closest('.md-typeset__scrollwrap');
    return table.scrollWidth > innerWidth && !(box && getComputedStyle(box).overflowX === 'auto');
  }).map(table => table.innerText.slice(0, 40))"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_is_as_dark_as_the_system_and_can_be_read(address: str, page: Page, dark: bool) -> None:
    for name in ("index.html", "tutorial.html", "gallery/index.html", "numerics.html", "reference/hgq2_core.html"):
        page.open(address + name, DESKTOP, dark=dark)
        assert page.evaluate("document.body.dataset.mdColorScheme") == SCHEMES[dark]
        assert {selector: ratio for selector, ratio in page.evaluate(CONTRASTS).items() if ratio < 4.5} == {}, name


CONTRASTS = """(() => {
  const light = css => css.match(/[0-9.]+/g).slice(0, 3).map(channel => channel / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const seen = ['p', 'article li', 'td', 'th', 'article a:not(.headerlink)', 'h2'].flatMap(selector => {
    const element = document.querySelector('article ' + selector.replace('article ', ''));
    return element ? [[selector, light(getComputedStyle(element).color)]] : [];
  });
  return Object.fromEntries(seen.map(([selector, color]) =>
    [selector, (Math.max(color, ground) + .05) / (Math.min(color, ground) + .05)]));
})()"""


def test_the_search_finds_a_page_by_a_word_of_it(address: str, page: Page) -> None:
    page.open(address + "index.html", DESKTOP)
    page.evaluate(
        """(() => {
          const query = document.querySelector('.md-search__input');
          query.focus();
          query.value = 'calibration';
          query.dispatchEvent(new Event('input', {bubbles: true}));
          query.dispatchEvent(new KeyboardEvent('keyup', {key: 'n', bubbles: true}));
        })()"""
    )
    found = page.evaluate(
        """new Promise(done => {
          const look = () => {
            const links = [...document.querySelectorAll('.md-search-result__link')].map(link => link.href);
            links.length ? done(links) : setTimeout(look, 100);
          };
          look();
        })"""
    )
    assert any("concepts/calibration.html" in link for link in found)
