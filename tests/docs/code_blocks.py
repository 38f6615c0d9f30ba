"""The python blocks of a markdown page, run as doctests: every printed result must equal the one on the page."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced python block.

    Args:
        line: of the page on which the code begins, counted from 1.
        code: statements, or a doctest where lines begin with `>>>`.
    """

    line: int
    code: str


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """Yield the fenced python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        yield CodeBlock(text.count("\n", 0, fence.start(1)) + 1, fence[1])


def failures(page: Path, namespace: dict[str, Any] | None = None) -> list[str]:
    """Run the blocks of a page one after the other, and return a report for each one whose output differs.

    Args:
        page: a markdown file.
        namespace: names that the blocks may use, and into which they define theirs; None starts empty.

    Raises:
        Exception: whatever a block without `>>>` raises.
    """
    names = {"__name__": page.stem} if namespace is None else namespace
    reports = [run(page, block, names) for block in code_blocks(page)]
    return [report for report in reports if report]


def run(page: Path, block: CodeBlock, names: dict[str, Any]) -> str:
    """Run a block, add the names that it defines, and return a report if its output differs, else an empty text."""
    if ">>>" not in block.code:
        tree = ast.increment_lineno(ast.parse(block.code), block.line - 1)
        exec(compile(tree, page, "exec"), names)
        return ""
    # The test gets a copy of the names, so what it defines is put back.
    test = doctest.DocTestParser().get_doctest(block.code, names, page.name, str(page), block.line - 1)
    reports: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=reports.append, clear_globs=False)
    names.update(test.globs)
    return "".join(reports)
