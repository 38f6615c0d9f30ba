"""Build every distribution of the repository in dist/ and check what would be uploaded.

    python scripts/release.py                    # build and check; the version must be in changelog and saved files
    python scripts/release.py --draft            # the changelog may still say Unreleased
    python scripts/release.py --draft --only core

Checked are: one version in all packages; `twine check --strict`; clean environments that install from these wheels
alone, with `pip check` and a first use; and that pip finds versions of all dependencies for newer Pythons, which are
not run here. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PROJECTS = (ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml")))
NEWER_PYTHONS = ("3.12", "3.13", "3.14")
"""Resolved only; the forge's CI runs them."""

TRAINS = """
import hgq2_core, keras, numpy as np
from hgq2_layers import QDense
model = keras.Sequential([keras.Input((4,)), QDense(8, activation="relu"), QDense(1)])
x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
model.compile("adam", "mse")
model.fit(x, x[:, :1], epochs=2, verbose=0)
hgq2_core.calibrate(model, x)
assert hgq2_core.verify(model, x).mismatches == 0
"""


@dataclass(frozen=True)
class Environment:
    """A clean environment: what is installed into it, and what must work there."""

    install: tuple[str, ...]
    python: str = TRAINS
    commands: tuple[tuple[str, ...], ...] = (("plugins", "--check"),)
    missing: tuple[str, ...] = ()
    """A command that needs what is not installed, and what it must say to install."""


ENVIRONMENTS = {
    "all": Environment(
        ("hgq2-core[all,torch]",),
        commands=(("plugins", "--check"), ("demo", "--epochs", "2", "-o", "demo")),
    ),
    "core": Environment(("hgq2-core[torch]", "hgq2-fixed-point", "hgq2-layers"), missing=("train", "hgq2-training")),
    "jax": Environment(("hgq2-core[jax]", "hgq2-fixed-point", "hgq2-layers")),
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--draft", action="store_true", help="the changelog may still say Unreleased")
    parser.add_argument("--only", choices=tuple(ENVIRONMENTS), nargs="*", default=tuple(ENVIRONMENTS))
    arguments = parser.parse_args()
    version = one_version()
    print(f"version {version} of {len(PROJECTS)} distributions")
    if not arguments.draft:
        in_changelog(version)
        has_saved(version)
    build()
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(DIST.iterdir())))
    for name in arguments.only:
        check(name, ENVIRONMENTS[name])
    for python in NEWER_PYTHONS:
        resolve(python)


def one_version() -> str:
    """Return the version that every package's `__init__.py` states."""
    found = {}
    for project in PROJECTS:
        name = tomllib.loads((project / "pyproject.toml").read_text())["project"]["name"]
        text = (project / name.replace("-", "_") / "__init__.py").read_text()
        found[name] = re.findall(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    versions = {version for each in found.values() for version in each}
    if len(versions) != 1 or any(len(each) != 1 for each in found.values()):
        sys.exit(f"the packages do not state one version: {found}")
    return versions.pop()


def in_changelog(version: str) -> None:
    """Require a section for the version, with its date."""
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M):
        sys.exit(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`: write it, or pass --draft.")


def has_saved(version: str) -> None:
    """Require the models and the run that this version saves, which all later ones must load."""
    if not (ROOT / "tests" / "golden" / "saved" / f"{version}.tar.xz").is_file():
        sys.exit(f"tests/golden/saved has no {version}.tar.xz: run scripts/write_saved.py, or pass --draft.")


def build() -> None:
    """Write an sdist of every project, and a wheel from that sdist."""
    for path in DIST.glob("*") if DIST.exists() else ():
        path.unlink()
    for project in PROJECTS:
        run(sys.executable, "-m", "build", "--outdir", str(DIST), str(project))


def check(name: str, environment: Environment) -> None:
    """Install from the wheels into a clean environment, and use it."""
    print(f"=== environment {name}: {' '.join(environment.install)}")
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run(sys.executable, "-m", "venv", str(venv))
        python, hgq2 = str(venv / "bin" / "python"), str(venv / "bin" / "hgq2")
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(pins(("torch",))))
        install = ("install", "--quiet", "--find-links", str(DIST), "-c", str(constraints))
        run(python, "-m", "pip", *install, *environment.install)
        run(python, "-m", "pip", "check")
        run(python, "-c", environment.python, cwd=folder)
        for command in environment.commands:
            run(hgq2, *command, cwd=folder)
        if environment.missing:
            command, remedy = environment.missing
            answer = subprocess.run([hgq2, command, "config.yaml"], cwd=folder, capture_output=True, text=True)
            if answer.returncode != 2 or remedy not in answer.stderr:
                sys.exit(f"hgq2 {command} without its plugin does not say {remedy!r}: {answer.stderr}")


def resolve(python: str) -> None:
    """Let pip find versions of all dependencies, except those of backends, for another Python."""
    print(f"=== Python {python}: resolved, not run")
    only = ("--only-binary=:all:", "--python-version", python, "--target", "unused")
    options = ("--dry-run", "--quiet", "--find-links", str(DIST), *only)
    run(sys.executable, "-m", "pip", "install", *options, "hgq2-core[all]")


def pins(names: Iterable[str]) -> list[str]:
    """Return the lines of requirements.txt that pin these distributions."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in tuple(names)]


def run(*command: str, cwd: str | Path = ROOT) -> None:
    """Run a command, whose failure ends the release."""
    print("$", " ".join(word if "\n" not in word else "..." for word in command), flush=True)
    process = subprocess.run(command, cwd=cwd)
    if process.returncode:
        sys.exit(f"failed with exit code {process.returncode}")


if __name__ == "__main__":
    main()
