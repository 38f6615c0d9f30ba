"""`hgq2 new-plugin`: the package that it writes is installed and keeps its own rules, and it writes no half of one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core.cli.new_plugin import SORTS, TEMPLATES, package_files
from hgq2_core.errors import ConfigError

pytestmark = pytest.mark.once

ALWAYS = {".github/workflows/test.yml", ".gitignore", "README.md", "pyproject.toml"}
ALWAYS |= {f"acme_tools/{name}" for name in ("__init__.py", "plugin.py", "py.typed")}

OWN = {
    "quantizer": ("config.py", "quantizer.py"),
    "layer": ("scale.py",),
    "dataset": ("rings.py",),
    "callback": ("callback.py",),
    "exporter": ("exporter.py",),
    "loss": ("loss.py",),
    "metric": ("metric.py",),
    "optimizer": ("optimizer.py",),
    "schedule": ("schedule.py",),
    "command": ("command.py",),
}
"""The modules of each sort."""

PLURAL = {"loss": "losses"}


def expected(*sorts):
    modules = {f"acme_tools/{name}" for sort in sorts for name in OWN[sort]}
    return ALWAYS | modules | {f"tests/test_{sort}.py" for sort in sorts}


@pytest.fixture
def hgq2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, ["new-plugin", *arguments])


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_without_options_it_is_a_quantizer_in_a_folder_of_its_name(hgq2, tmp_path):
    result = hgq2("acme-tools")
    assert result.exit_code == 0, result.output
    assert written(tmp_path / "acme-tools") == expected("quantizer")
    last = result.stdout.splitlines()[-1]
    assert last == "Next: cd acme-tools && python -m pip install -e '.[test]' && python -m pytest"


@pytest.mark.parametrize("sort", SORTS)
def test_each_option_adds_its_modules_its_hook_and_its_test(hgq2, tmp_path, sort):
    assert hgq2("acme-tools", f"--{sort}", "-o", "new/place").exit_code == 0
    assert written(tmp_path) == {f"new/place/{name}" for name in expected(sort)}
    hooks = (tmp_path / "new/place/acme_tools/plugin.py").read_text()
    assert hooks.count("@hookimpl") == 1 and f"def hgq2_{PLURAL.get(sort, f'{sort}s')}() -> dict[str, str]:" in hooks


def test_every_two_sorts_go_together():
    for pair in combinations(SORTS, 2):
        files = package_files("acme-tools", pair)
        assert set(files) == expected(*pair)
        assert files["acme_tools/plugin.py"].count("@hookimpl") == 2


def test_no_word_of_a_template_is_left():
    files = package_files("acme-tools", SORTS)
    assert [name for name, text in files.items() if "$" in text.replace("${{ matrix.python }}", "")] == []


def test_the_project_names_the_entry_point_and_the_core_that_is_installed():
    project = tomllib.loads(package_files("acme-tools", ["layer"], "acme")["pyproject.toml"])["project"]
    assert project["name"] == "acme-tools"
    assert project["entry-points"] == {"hgq2.plugins": {"acme": "acme_tools.plugin"}}
    assert project["dependencies"] == ["hgq2-core>=0.1,<0.2"]


def test_the_ci_file_runs_every_check():
    (job,) = yaml.safe_load(package_files("acme-tools", ["layer"])[".github/workflows/test.yml"])["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[2:] == ["ruff check .", "ruff format --check .", "mypy", "python -m pytest", "hgq2 plugins --check"]


def test_the_licence_is_left_to_the_author():
    files = package_files("acme-tools", SORTS)
    assert "license" not in tomllib.loads(files["pyproject.toml"])["project"]
    assert "Choose one, add its text as `LICENSE`" in files["README.md"]


NOT_A_NAME = (
    "new-plugin: not a name for a plugin's distribution. Received: {!r}. Allowed: words of small letters and digits "
    "with one hyphen between them, a letter first, at most 40 characters, such as 'acme-levels'."
)
OF_PYTHON = (
    "new-plugin: a word or module of Python, or a module that plugins import. Received: {!r}. Allowed: another name."
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Acme", NOT_A_NAME),
        ("1acme", NOT_A_NAME),
        ("acme--levels", NOT_A_NAME),
        ("../acme", NOT_A_NAME),
        ("a" * 41, NOT_A_NAME),
        ("class", OF_PYTHON),
        ("json", OF_PYTHON),
        ("hgq2-layers", "new-plugin: a distribution of hgq2 itself. Received: {!r}. Allowed: another name."),
        (
            "fixed-point",
            "new-plugin: a prefix of hgq2 itself. Received: 'fixed_point'. Allowed: all but alkaid, attention, cpp, "
            "fixed_point, hls4ml, keras, layers, minifloat, none, qonnx, training; `--prefix` sets another.",
        ),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_nothing_is_written(hgq2, tmp_path, name, message):
    result = hgq2(name)
    assert (result.exit_code, result.stderr) == (2, f"error: {message.format(name)}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_that_is_no_prefix_is_refused():
    with pytest.raises(ConfigError) as error:
        package_files("acme-tools", ["layer"], "Acme")
    assert str(error.value) == (
        "new-plugin: not a prefix of kinds. Received: 'Acme'. "
        "Allowed: small letters, digits and underscores, a letter first, at most 40 of them, such as 'acme'."
    )


def test_a_folder_with_something_in_it_is_left_as_it_is(hgq2, tmp_path):
    (tmp_path / "acme-tools").mkdir()
    (tmp_path / "acme-tools" / "mine.txt").write_text("mine")
    result = hgq2("acme-tools")
    message = "error: acme-tools: exists and is not empty; a plugin needs a new directory.\n"
    assert (result.exit_code, result.stderr) == (2, message)
    assert written(tmp_path) == {"acme-tools/mine.txt"}


def test_the_current_folder_is_not_replaced(hgq2):
    message = "error: .: is the directory that you are in; a plugin needs a new directory.\n"
    assert hgq2("acme-tools", "-o", ".").stderr == message


def test_a_folder_that_is_empty_is_filled(hgq2, tmp_path):
    (tmp_path / "acme-tools").mkdir()
    assert hgq2("acme-tools").exit_code == 0
    assert written(tmp_path / "acme-tools") == expected("quantizer")


def test_json_has_the_folder_and_the_files(hgq2):
    printed = json.loads(hgq2("acme-tools", "--command", "--json").stdout)
    assert printed == {"directory": "acme-tools", "files": sorted(expected("command"))}


def test_a_failure_leaves_nothing(hgq2, tmp_path, monkeypatch):
    def full(path, text):
        if path.name == "README.md":
            raise ConfigError("the disk is full")
        path.write_text(text)

    monkeypatch.setattr("hgq2_core.cli.new_plugin.write_text", full)
    assert hgq2("acme-tools").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_it_imports_no_backend(tmp_path):
    code = """import sys; from hgq2_core.cli.main import main
try:
    main()
except SystemExit as end:
    print(end.code, "keras" in sys.modules)"""
    command = [sys.executable, "-c", code, "new-plugin", "acme-tools"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.stdout.splitlines()[-1] == "0 False", process.stderr


def test_every_template_is_text_with_the_suffix_that_wheels_take_along():
    assert [path for path in TEMPLATES.rglob("*") if path.is_file() and path.suffix != ".tmpl"] == []
    assert [path for path in TEMPLATES.rglob("*") if path.name.startswith(".")] == []


# --- installed --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package with everything, of the longest name, and an environment in which it is installed editable."""
    folder = tmp_path_factory.mktemp("new_plugin")
    name = "acme-" + "a" * 35
    options = [f"--{sort}" for sort in SORTS]
    assert CliRunner().invoke(cli.app, ["new-plugin", name, *options, "-o", str(folder / "package")]).exit_code == 0
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (library,) = (folder / "venv").glob("lib/python*/site-packages")
    (library / "others.pth").write_text("\n".join(filter(os.path.isabs, sys.path)))
    python = folder / "venv" / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-e", "."]
    run(python, *install, cwd=folder / "package")
    return folder / "package", python


def run(*command, cwd):
    """Run a program outside the repository's environment, and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    process = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
def test_its_tests_pass(package):
    folder, python = package
    last = run(python, "-m", "pytest", "-q", cwd=folder).splitlines()[-1]
    assert last.startswith("13 passed in ")  # and no warnings


@pytest.mark.slow
def test_it_is_found_and_each_of_its_classes_is_sound(package):
    folder, python = package
    assert "acme_" in run(python, "-m", "hgq2_core.cli.main", "plugins", "--check", cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["check", "."], ["format", "--check", "."]], ids=lambda words: words[0])
def test_its_lint_passes(package, arguments):
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ruff is None:
        pytest.skip("ruff is not installed")
    run(ruff, *arguments, "--no-cache", cwd=package[0])


@pytest.mark.slow
def test_its_types_pass(package):
    pytest.importorskip("mypy")
    folder, python = package
    assert "Success: no issues found in 13 source files" in run(python, "-m", "mypy", cwd=folder)
