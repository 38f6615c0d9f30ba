"""`hgq2 plugins --check`: what it runs of the kit, and what it says of plugins, sound ones and others."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import keras
import pytest
from rich.console import Console

from hgq2_core import __version__
from hgq2_core.cli.checking import Checked, check_plugin
from hgq2_core.discovery.loading import GROUPS, Plugin
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError
from hgq2_core.testing import registered
from hgq2_core.testing.quick import LEFT_OUT, QUICK, quick_checks
from hgq2_fixed_point import KBI
from hgq2_fixed_point.quantizers import KBIQuantizer

pytestmark = pytest.mark.once


class Sound(KBI):
    """As KBI."""


class CountsOnce(KBI):
    def build(self, slot: Any = None) -> Any:
        return OneCount(self, slot)


class OneCount(KBIQuantizer):
    def bits(self, x: Any = None) -> Any:
        return super().bits(x)[0]


class Demands(KBI):
    width: int


class EitherOfTwo(KBI):
    width: int | None = None
    digits: int | None = None

    def model_post_init(self, _: Any) -> None:
        if (self.width is None) == (self.digits is None):
            raise ValueError("give `width` or `digits`")


class Stops(keras.callbacks.Callback):
    """Stops at either of two limits."""

    def __init__(self, *, limit: float | None = None, share: float | None = None) -> None:
        super().__init__()
        if (limit is None) == (share is None):
            raise ConfigError("give `limit` or `share`")


class Explodes(KBI):
    def __init__(self, **fields: Any) -> None:
        raise ZeroDivisionError("at home")


def acme(**groups: Mapping[str, str]) -> Plugin:
    kinds = {group: groups.get(group, {}) for group in GROUPS}
    return Plugin("acme", "acme-tools", "1.0", "", "acme.plugin", "loaded", kinds)


def checked(cls: type) -> Checked:
    with registered(quantizers={"acme.it": cls}):
        return check_plugin(acme(quantizers={"acme.it": "somewhere:It"}))


def shown(found: Checked) -> tuple[str, str]:
    out, complaints = (Console(file=io.StringIO(), width=300) for _ in range(2))
    found.show(out, complaints)
    return out.file.getvalue(), complaints.file.getvalue()  # type: ignore[attr-defined]


def test_every_group_has_quick_checks() -> None:
    assert set(QUICK) == set(GROUPS)


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("quantizers", "fixed_point.kbi"),
        ("layers", "layers.relu"),
        ("layers", "layers.dense"),
        ("callbacks", "training.ebops"),
        ("datasets", "training.digits"),
        ("exporters", "cpp.cpp"),
        ("commands", "training.train"),
    ],
)
def test_they_are_checks_of_the_kit_that_need_no_data(group: str, kind: str) -> None:
    names = {check.id for check in quick_checks(group, kind)}
    assert names
    assert not names & LEFT_OUT


def test_a_sound_plugin_gets_a_line_for_its_readme() -> None:
    found = checked(Sound)
    assert found.conforms
    out, complaints = shown(found)
    assert complaints == ""
    first, second = out.splitlines()
    assert first == f"acme: 1 kind conforms, {found.rules} rules checked"
    assert found.rules > 15
    address = f"https://img.shields.io/badge/hgq2--core%20{__version__}-1%20kind%20conforms-2563eb"
    assert second == f"  for its README: ![1 kind conforms to hgq2-core {__version__}]({address})"


def test_ours_get_no_such_line() -> None:
    out, _ = shown(Checked(next(each for each in registry().plugins if each.name == "cpp"), 1, 2, ()))
    assert out == "cpp: 1 kind conforms, 2 rules checked\n"


def test_a_rule_that_is_broken_is_named_without_a_traceback() -> None:
    found = checked(CountsOnce)
    assert not found.conforms
    assert found.badge is None
    out, complaints = shown(found)
    assert out == ""
    assert complaints.startswith("error: acme.it breaks rules of the conformance kit:\n  bits() returns one count per ")
    assert "Traceback" not in complaints
    assert found.to_dict()["problems"] == list(map(str, found.problems))


def test_a_class_that_raises_an_error_of_its_own_shows_where() -> None:
    _, complaints = shown(checked(Explodes))
    assert "kind 'acme.it': cannot be made. ZeroDivisionError: at home" in complaints
    assert 'raise ZeroDivisionError("at home")' in complaints


def test_of_a_class_with_required_fields_only_the_class_is_checked() -> None:
    found = checked(Demands)
    assert (found.conforms, found.rules) == (True, 1)


def test_so_it_is_of_one_that_refuses_its_defaults_together() -> None:
    found = checked(EitherOfTwo)
    assert (found.conforms, found.rules) == (True, 1)
    with registered(callbacks={"acme.stops": Stops}):
        found = check_plugin(acme(callbacks={"acme.stops": "somewhere:Stops"}))
    assert (found.conforms, found.rules) == (True, 1)


@pytest.mark.parametrize("state", ["blocked", "incompatible"])
def test_what_is_not_loaded_does_not_conform(state: Any) -> None:
    found = check_plugin(Plugin("acme", "acme-tools", "1.0", "", "acme.plugin", state))
    assert (found.conforms, found.badge, found.problems) == (False, None, ())
