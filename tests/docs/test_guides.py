"""The guides and concepts of docs/: what they tell the reader to do is done, in an empty folder."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest
from guide import compare, follow

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = (
    "attention.md",
    "config_files.md",
    "converting.md",
    "debugging.md",
    "hardware.md",
    "minifloat.md",
    "notebooks.md",
)
CONCEPTS = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("concepts/*.md"))
COMPILERS = ("iverilog", "g++")
"""What the page on hardware simulates with."""

pytestmark = pytest.mark.once


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [*GUIDES, *CONCEPTS],
)
def test_the_page_can_be_followed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page == "hardware.md" and not all(map(shutil.which, COMPILERS)):
        pytest.skip(f"needs {' and '.join(COMPILERS)}")
    monkeypatch.chdir(tmp_path)
    assert follow(DOCS / page, tmp_path) > 0


def test_every_picture_of_the_concepts_is_drawn_by_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["concepts.py", str(tmp_path)])
    runpy.run_path(str(DOCS / "figures" / "concepts.py"), run_name="__main__")
    text = "".join((DOCS / page).read_text(encoding="utf-8") for page in CONCEPTS)
    assert {path.name for path in tmp_path.iterdir()} == set(re.findall(r"\]\(\.\./figures/([^)]+)\)", text))
    assert all("<title>" in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


@pytest.mark.parametrize("picture", sorted((DOCS / "figures").glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_is_legible_on_a_dark_page(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    if "prefers-color-scheme: dark" not in text:
        assert "#000000" not in text and "<text" in text  # matplotlib draws text without a colour in black
        assert all("fill:" in style for style in re.findall(r'<text style="([^"]*)"', text))


def test_a_line_that_was_not_printed_is_named() -> None:
    compare("loss … of 3\n", "first\nloss 0.25 of 3   \nlast\n")
    with pytest.raises(AssertionError, match="not printed: loss … of 4"):
        compare("loss … of 4\n", "loss 0.25 of 3\n")


def test_lines_are_shown_in_the_order_in_which_they_were_printed() -> None:
    with pytest.raises(AssertionError, match="not printed: first"):
        compare("second\nfirst\n", "first\nsecond\n")


def test_what_a_page_writes_runs_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "`a.py`:\n\n```python\nfrom pathlib import Path\nprint(Path('n').read_text())\n```\n\n"
        "`n`:\n\n```text\n3\n```\n\n"
        "```python\n>>> from pathlib import Path\n>>> int(Path('n').read_text())\n3\n\n```\n\n"
        "```sh\npython a.py\nhgq2 show nothing  # exit code 2\n```\n\n"
        "```text\n3\nerror: …'nothing'…\n```\n"
    )
    assert follow(page, tmp_path) == 2
    page.write_text(page.read_text().replace("'n').read_text())\n3", "'n').read_text())\n4"))
    with pytest.raises(AssertionError, match="Expected:\n    4\nGot:\n    3"):
        follow(page, tmp_path)
