"""Subcommands of plugins: listed without an import, run by their short names, refused with a message."""

from __future__ import annotations

import sys
from dataclasses import replace
from textwrap import dedent

import pytest
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core.cli import subcommands
from hgq2_core.discovery.known_plugins import COMMANDS
from hgq2_core.discovery.loading import CONFIG_GROUPS, Plugin
from hgq2_core.discovery.registry import Registry
from hgq2_training import plugin as training

pytestmark = pytest.mark.once

MODULE = '''
    import sys
    from typing import Annotated
    import typer
    from hgq2_core.errors import ConfigError

    def greet(name: Annotated[str, typer.Argument()], loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        """Greet somebody.

        More about it.
        """
        typer.echo(f"hello {name}" + "!" * loud)

    def fail() -> None:
        raise ConfigError("greeting: cannot be used. Received: 1. Allowed: 2.")
'''


def plugin(name, **commands):
    kinds = {
        "commands": {f"{name}.{command}": f"acme_tools.commands:{function}" for command, function in commands.items()}
    }
    every = {group: {} for group in CONFIG_GROUPS}
    return Plugin(name, f"{name}-dist", "1.0", "", f"{name}_plugin", "loaded", {**every, **kinds})


@pytest.fixture
def hgq2(tmp_path, monkeypatch):
    """Run `hgq2` with the given plugins alone; `acme_tools.commands` is their module."""
    (tmp_path / "acme_tools").mkdir()
    (tmp_path / "acme_tools" / "__init__.py").touch()
    (tmp_path / "acme_tools" / "commands.py").write_text(dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "500")

    def run(plugins, *arguments):
        for module in ("acme_tools.commands", "acme_tools"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setattr(subcommands, "registry", lambda: Registry(tuple(plugins)))
        return CliRunner().invoke(cli.app, list(arguments))

    return run


def test_help_shows_the_summary_and_imports_nothing(hgq2):
    result = hgq2([plugin("acme", greet="greet")], "--help")
    line = next(line for line in result.output.splitlines() if "greet" in line)
    assert line.strip("│ ").split(maxsplit=1) == ["greet", "Greet somebody."]
    assert "acme_tools" not in sys.modules


def test_it_runs_by_its_short_name_and_by_its_full_name(hgq2):
    plugins = [plugin("acme", greet="greet")]
    assert hgq2(plugins, "greet", "Ada", "--loud").output == "hello Ada!\n"
    assert hgq2(plugins, "acme.greet", "Ada").output == "hello Ada\n"


def test_its_own_help_has_its_options(hgq2):
    assert "--loud" in hgq2([plugin("acme", greet="greet")], "greet", "-h").output


def test_two_plugins_with_the_same_name_are_reached_in_full(hgq2):
    plugins = [plugin("acme", greet="greet"), plugin("other", greet="greet")]
    assert hgq2(plugins, "other.greet", "Ada").output == "hello Ada\n"
    result = hgq2(plugins, "greet", "Ada")
    assert result.exit_code == 2
    assert "Allowed: " in result.output and "acme.greet" in result.output and "other.greet" in result.output


def test_a_name_of_the_core_is_never_taken(hgq2):
    plugins = [plugin("acme", plugins="greet")]
    assert "acme-dist" not in hgq2(plugins, "plugins").output
    assert hgq2(plugins, "acme.plugins", "Ada").output == "hello Ada\n"


def test_an_unknown_command_names_the_nearest(hgq2):
    result = hgq2([plugin("acme", greet="greet")], "gret", "Ada")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: hgq2: unknown command. Received: 'gret'. Allowed: ")
    assert result.stderr.endswith(" Did you mean 'greet'?\n")


def test_an_error_of_ours_is_one_message(hgq2):
    result = hgq2([plugin("acme", fail="fail")], "fail")
    assert result.exit_code == 2
    assert result.stderr == "error: greeting: cannot be used. Received: 1. Allowed: 2.\n"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("missing", "hgq2: kind 'acme.greet': cannot import acme_tools.commands:missing. AttributeError: "),
        (
            "ConfigError",
            "hgq2: command 'acme.greet' is not a function. Received: <class 'hgq2_core.errors.ConfigError'>.",
        ),
    ],
)
def test_a_command_that_cannot_be_loaded_names_its_plugin(hgq2, function, message):
    result = hgq2([plugin("acme", greet=function)], "greet", "Ada")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize("name", ["train", "training.train"])
def test_a_command_of_a_plugin_that_is_not_installed_says_what_to_install(hgq2, name):
    assert hgq2([plugin("layers")], name).stderr == (
        f"error: hgq2: unknown command. Received: {name!r}. "
        "Allowed: freeze-requirements, list, new-plugin, plugins, resolve, schema, show, validate. "
        "It comes with hgq2-training: pip install hgq2-training "
        "(not on PyPI yet: pip install ./plugins/training in a clone)\n"
    )


def test_an_unknown_command_may_come_with_any_plugin_that_is_not_installed(hgq2):
    installed = [
        plugin(name) for name in ("alkaid", "attention", "cpp", "fixed_point", "hls4ml", "layers", "minifloat", "qonnx")
    ]
    message = hgq2(installed, "xylophone").stderr
    assert "It may come with a plugin that is not installed: pip install hgq2-training (not on PyPI yet: " in message


def test_the_commands_of_training_are_known_where_it_is_not_installed():
    assert set(COMMANDS) == set(training.hgq2_commands())


def test_a_command_of_a_plugin_that_is_blocked_says_so(hgq2):
    blocked = replace(plugin("training"), state="blocked")
    assert hgq2([blocked], "train").stderr == (
        "error: hgq2: unknown command. Received: 'train'. "
        "Allowed: freeze-requirements, list, new-plugin, plugins, resolve, schema, show, validate. "
        "Not loaded: training (blocked); `hgq2 plugins --check` says why.\n"
    )
