"""Print the oldest version of each dependency that the packages allow, as pip's constraints.

python scripts/oldest_versions.py > constraints.txt
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
BACKENDS = ("torch", "jax", "tensorflow")
"""Left at what requirements.txt pins: other builds are downloads of gigabytes."""


def main() -> None:
    """Print a line for each dependency."""
    oldest: dict[str, Version] = {}
    for path in (ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))):
        project = tomllib.loads(path.read_text())["project"]
        optional = [each for extra in project.get("optional-dependencies", {}).values() for each in extra]
        for requirement in map(Requirement, [*project["dependencies"], *optional]):
            name = requirement.name.lower()
            if name.startswith("hgq2-") or name in BACKENDS:
                continue
            lower = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
            for version in lower:
                oldest[name] = max(version, oldest.get(name, version))
    for name, version in sorted(oldest.items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
