"""`hgq2 list --table` and docs/layers.md: one table of what each layer can, asked of the registry."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
from typer.testing import CliRunner

from hgq2_core.cli.layer_table import layer_table
from hgq2_core.cli.main import app
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS_LAYERS
from hgq2_core.schema.keras_objects import keras_kinds

DOCS = Path(__file__).parents[2] / "docs" / "layers.md"
pytestmark = pytest.mark.once


def listed(*options: str) -> str:
    done = CliRunner().invoke(app, ["list", *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_page_is_what_the_command_shows():
    page = DOCS.read_text(encoding="utf-8")
    assert page.partition("\n| ")[2] == listed("--table").removeprefix("| "), "hgq2 list --table has the new table"


def test_the_rows_are_those_of_the_lists():
    rows = {row["layer"]: row for row in json.loads(listed("layers", "--table", "--json"))}
    kinds = registry().names("layers")
    assert set(rows) == {*kinds, *(f"keras.{name}" for name in KERAS_LAYERS)}
    assert {kind for kind, row in rows.items() if row["in_configs"] == "yes"} == {
        *keras_kinds("layers"), *(kind for kind in kinds if not kind.startswith("keras.")),
    }  # fmt: skip
    assert json.loads(listed("layers", "--json"))["layers"] == sorted(
        kind for kind, row in rows.items() if row["in_configs"] == "yes"
    )


@pytest.mark.parametrize("row", layer_table(), ids=lambda row: row.layer)
def test_a_name_that_runs_code_or_reads_a_path_is_in_no_row(row):
    assert row.layer.removeprefix("keras.") not in ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer")


def test_what_converts_by_its_name_is_the_layer_of_that_class():
    for row in layer_table():
        if row.layer.startswith("keras.") and not row.layer.startswith("keras.ops.") and "." in row.converts:
            assert registry().load("layers", row.converts).__name__.lower() == (
                f"q{getattr(keras.layers, row.layer.removeprefix('keras.')).__name__}".lower()
            )


def test_another_group_has_no_table():
    done = CliRunner().invoke(app, ["list", "quantizers", "--table"])
    assert done.exit_code == 2
    assert "error: list: --table shows layers. Received: 'quantizers'. Allowed: layers, or nothing." in " ".join(
        done.output.split()
    )
