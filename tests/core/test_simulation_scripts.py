"""The script beside an export: what it says is believed only where it compared something, and ended well."""

from __future__ import annotations

import pytest

from hgq2_core import ToolError
from hgq2_core.exporting.exporter import Simulation
from hgq2_core.exporting.simulation import cpp_compiler, require_script, run_script, write_script


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("echo 0 mismatches in 3 samples", Simulation(3, 0)),
        ("echo 2 mismatches in 3 samples; exit 1", Simulation(3, 2)),
        ("echo 0 mismatches in 3 samples; echo 1 mismatches in 4 samples", Simulation(7, 1)),
        ("echo $GIVEN mismatches in 3 samples", Simulation(3, 1)),
    ],
)
def test_its_numbers_are_added(script, wanted, tmp_path):
    write_script(tmp_path, script)
    assert run_script(tmp_path, GIVEN="1") == wanted


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 0 mismatches in 0 samples", "0 mismatches in 0 samples"),
        ("echo 0 mismatches in 3 samples; echo no second bench >&2; exit 1", "no second bench"),
        ("echo in file x >&2; echo x:1: error: wrong >&2; echo 9 lines >&2; exit 1", "x:1: error: wrong"),
        ("true", "no output"),
    ],
)
def test_one_that_compares_nothing_or_fails_is_no_success(script, reason, tmp_path):
    write_script(tmp_path, script)
    with pytest.raises(ToolError, match=rf"^simulate: .*simulate\.sh failed: {reason}$"):
        run_script(tmp_path)


def test_a_directory_without_one(tmp_path):
    with pytest.raises(ToolError, match=r"simulate\.sh is not there; only the flavor 'verilog' is simulated\.$"):
        require_script(tmp_path, "the flavor 'verilog' is simulated")


def test_a_compiler_may_have_options(monkeypatch):
    monkeypatch.setenv("CXX", "sh -e")
    assert cpp_compiler() == "sh -e"
    monkeypatch.setenv("CXX", " ")
    monkeypatch.setattr("shutil.which", lambda name: name if name == "clang++" else None)
    assert cpp_compiler() == "clang++"
