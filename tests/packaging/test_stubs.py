"""The type stubs of packages that export lazily say what the packages export."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "package", ["hgq2_attention", "hgq2_fixed_point", "hgq2_layers", "hgq2_minifloat", "hgq2_training"]
)
def test_a_stub_holds_every_exported_name(package, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import write_stubs

    assert package in write_stubs.PACKAGES
    assert write_stubs.path(package).read_text() == write_stubs.stub(package)
    del sys.modules["write_stubs"]
