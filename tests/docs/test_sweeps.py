"""docs/sweeps.md and the example of a sweep: blocks run, and files are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from code_blocks import failures

from hgq2_training.sweeps.config import MAY_CHANGE, load_sweep

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "sweeps.md"

pytestmark = pytest.mark.once


def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failures(PAGE) == []


def test_the_file_of_the_page_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    base = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text(encoding="utf-8"))
    base["training"]["optimizer"] = {"kind": "adam", "learning_rate": 0.005}
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(base).replace("1.0e-07", "1.0e-7"))
    (tmp_path / "sweep.yaml").write_text(block)
    assert load_sweep(tmp_path / "sweep.yaml").section.objectives == ("val_accuracy", "ebops")


def test_the_example_is_valid() -> None:
    assert len(load_sweep(ROOT / "examples" / "sweeps" / "digits.yaml").section.space) == 3


def test_the_page_says_what_may_change() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    names = [f"`{name}`" for name in MAY_CHANGE]
    assert f"{', '.join(names[:-1])} and {names[-1]} may change" in text
