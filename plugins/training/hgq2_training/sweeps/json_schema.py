"""The JSON schema of sweep files, for editors."""

from __future__ import annotations

from typing import Any

from hgq2_core import json_schema
from hgq2_training.sweeps.config import BASE, SECTION, SweepSection


def sweep_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a sweep file: a model's config or the name of one, and the section."""
    config = json_schema()
    section = SweepSection.model_json_schema(ref_template=f"#/$defs/{SECTION}.{{model}}")
    parts = {f"{SECTION}.{name}": part for name, part in section.pop("$defs", {}).items()}
    base = {"type": "string", "description": "Path of a model's config, from this file, in place of its sections."}
    return {
        **config,
        "title": "Sweep",
        "properties": {SECTION: section, BASE: base, **config["properties"]},
        "required": [SECTION],
        "oneOf": [{"required": [BASE]}, {"required": config["required"]}],
        "$defs": {**config["$defs"], **parts},
    }
