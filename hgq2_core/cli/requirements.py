"""The command `freeze-requirements`, for runs that must repeat elsewhere or later."""

from __future__ import annotations

from hgq2_core.commands.options import AsJson, ConfigFile, Settings
from hgq2_core.commands.printing import print_json


def freeze_requirements(file: ConfigFile, settings: Settings = None, as_json: AsJson = False) -> None:
    """Print the distributions that a config needs, pinned to the installed versions, as a requirements file.

    They are the core, the plugins whose kinds the config names, Keras, the backend in use, and what these require.

    Example: hgq2 freeze-requirements examples/digits.yaml > requirements.txt
    """
    from hgq2_core.config.model import load_config
    from hgq2_core.config.requirements import distributions, pinned

    named = distributions(load_config(file, settings or ()))
    lines = pinned(named)
    if as_json:
        print_json({"file": str(file), "named": named, "requirements": lines})
        return
    print(f"# {file} needs {', '.join(named)}; with what these require:")
    print("\n".join(lines))
