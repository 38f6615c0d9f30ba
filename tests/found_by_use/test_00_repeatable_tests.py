"""Tests repeat on any machine: README and gallery promise bounds, which the slow tests hold trainings to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.once


def test_readme_and_gallery_give_bounds_for_every_example(claims):
    assert claims.keys() == {
        path.stem for path in EXAMPLES.rglob("*.yaml") if path.parent.name in ("examples", "sequences")
    }
    assert all(0.5 < least < 1.0 and most > 0 for least, most in claims.values())


def test_examples_of_property_tests_are_the_same_in_every_run():
    assert settings.get_profile("repeatable").derandomize
    assert not settings.get_profile("fuzz").derandomize
