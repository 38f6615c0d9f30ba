"""The runner of the blocks: what it finds, what it reports, and that it compares exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_blocks import CodeBlock, code_blocks, failures

pytestmark = pytest.mark.once


@pytest.fixture
def page(tmp_path):
    def written(*blocks: str) -> Path:
        path = tmp_path / "page.md"
        path.write_text("# Title\n\n" + "\nSome text.\n\n".join(f"```{block}\n```\n" for block in blocks))
        return path

    return written


def test_blocks_of_other_languages_are_left_out(page):
    path = page("python\na = 1", "yaml\na: 1", "\na", "python\n>>> a\n1")
    assert list(code_blocks(path)) == [CodeBlock(4, "a = 1\n"), CodeBlock(22, ">>> a\n1\n")]


def test_blocks_share_their_names(page):
    assert failures(page("python\na = 1", "python\n>>> b = a + 1", "python\n>>> b\n2")) == []


def test_another_result_is_reported_with_its_line(page):
    (report,) = failures(page("python\n>>> 1\n1\n>>> 0.1 + 0.2\n0.3"))
    assert "page.md" in report and "line 6" in report
    assert "Expected:\n    0.3\nGot:\n    0.30000000000000004" in report


def test_every_block_is_run_whatever_fails_before(page):
    assert len(failures(page("python\n>>> 1\n2", "python\n>>> 2\n3"))) == 2


def test_an_expected_exception_is_a_result(page):
    error = "ValueError: invalid literal for int() with base 10: 'x'"
    block = f"python\n>>> int('x')\nTraceback (most recent call last):\n    ...\n{error}"
    assert failures(page(block)) == []


def test_an_exception_of_plain_code_names_the_line_of_the_page(page):
    with pytest.raises(ZeroDivisionError) as error:
        failures(page("python\na = 0\nb = 1 / a"))
    assert error.traceback[-1].lineno + 1 == 5
