"""Tests repeat on any machine: README promises bounds, which the slow tests hold trainings to."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytestmark = pytest.mark.once


def test_readme_gives_bounds_for_every_example_in_its_table(claims):
    assert claims.keys() == {"digits", "digits_minifloat", "transformer", "magic"}
    assert all(0.5 < least < 1.0 and most > 0 for least, most in claims.values())


def test_examples_of_property_tests_are_the_same_in_every_run():
    assert settings.get_profile("repeatable").derandomize
    assert not settings.get_profile("fuzz").derandomize
