"""Pages with a block or two: the blocks run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from code_blocks import failures

from hgq2_core import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.once


@pytest.mark.slow
@pytest.mark.parametrize("page", ["cost.md", "extending.md"])
def test_the_blocks_of_the_page_run(page: str) -> None:
    assert failures(DOCS / page) == []


def test_the_trainings_of_the_page_on_budgets_fit_the_example_that_it_measures() -> None:
    example = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text(encoding="utf-8"))
    del example["defaults"]  # its price, which contradicts a budget
    shown = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / "budgets.md").read_text(encoding="utf-8"), re.M | re.S)
    budget, front = (ModelConfig.parse({**example, **yaml.safe_load(block)}).training for block in shown)
    assert (budget.budget.ebops, budget.front) == (5000, None)
    assert (front.budget, front.front.points, front.front.ebops) == (None, None, ())
