"""Completion in a shell: what typer installs is sourced by a real bash, which asks the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HGQ2 = Path(sys.executable).with_name("hgq2")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash"),
    pytest.mark.skipif(not HGQ2.exists(), reason="hgq2 is not installed beside this Python"),
]


@pytest.fixture(scope="module")
def script() -> str:
    """What `hgq2 --install-completion` adds to bash's settings."""
    environment = {**os.environ, "_HGQ2_COMPLETE": "source_bash"}
    return subprocess.run([HGQ2], env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def complete(script: str, *words: str) -> list[str]:
    """Return what bash offers in place of the last word."""
    ask = f"""{script}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_hgq2_completion hgq2
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = os.pathsep.join([str(HGQ2.parent), os.environ["PATH"]])
    command = ["bash", "--noprofile", "--norc", "-c", ask, "bash", *words]
    environment = {**os.environ, "PATH": path}
    process = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    assert process.stderr == ""
    return process.stdout.split()


def test_the_script_asks_hgq2(script: str) -> None:
    assert "_HGQ2_COMPLETE=complete_bash" in script
    assert "complete -o default -F _hgq2_completion hgq2" in script


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["hgq2", "va"], ["validate"]),
        (["hgq2", "tra"], ["train"]),
        (["hgq2", "train", "--res"], ["--resume"]),
        (["hgq2", "show", "fixed_point.ki"], ["fixed_point.kif"]),
        (["hgq2", "list", "met"], ["metrics"]),
    ],
    ids=["a command", "a command of a plugin", "an option of one", "a kind", "a group"],
)
def test_bash_completes(script: str, words: list[str], offered: list[str]) -> None:
    assert complete(script, *words) == offered
