"""Read a configuration file, YAML or JSON, into plain data.

Files are untrusted: nothing in one may run code, hide a setting behind another of the same name, or grow when it is
read. So scalars follow the YAML 1.2 core schema (`1e-5` is a number, `yes` is text), keys are unique strings, tags that
name Python objects and merge keys (`<<`) are refused, and size, depth, the number of values and aliases are limited.
Every error gives file, line and column.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hgq2_core.config.document_rules import line_and_column
from hgq2_core.config.json_document import parse_json
from hgq2_core.config.yaml_document import parse_yaml
from hgq2_core.errors import ConfigError

MAX_BYTES = 1_000_000
SUFFIXES = (".yaml", ".yml", ".json")


def read_document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: a `.yaml`, `.yml` or `.json` file, UTF-8, of at most 1 MB.

    Returns:
        The mapping at the top of the file.

    Raises:
        ConfigError: the file cannot be read, or breaks a rule of this module.
    """
    path = Path(path)
    text = _read_text(path)
    parse = parse_json if path.suffix.lower() == ".json" else parse_yaml
    document = parse(text, str(path))
    if document is None:
        raise ConfigError(f"{path}: the document is empty; write at least `model:` with its `inputs` and `layers`")
    if not isinstance(document, dict):
        found = type(document).__name__
        raise ConfigError(
            f"{path}:1:1: the top of the document is a {found}; it must be a mapping (`key: value` lines)"
        )
    return document


def _read_text(path: Path) -> str:
    try:
        if not path.exists():
            raise ConfigError(f"{path}: no such file; check the path, it is taken from {Path.cwd()}")
        if path.is_dir():
            raise ConfigError(f"{path}: is a directory; give the file in it, for example {path / 'config.yaml'}")
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path}: unknown suffix {path.suffix!r}; allowed: {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise ConfigError(f"{path}: is not a regular file; save the configuration to a file first")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes; a configuration holds settings, not data")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = line_and_column(raw[: error.start].decode("utf-8-sig"), error.start)
        raise ConfigError(f"{path}:{line}:{column}: is not UTF-8; save the file in that encoding") from None
