"""docs/catalogue.md: every public class of keras.layers has a row, and what the row says is true."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from selection import few

import hgq2_layers
from hgq2_core import ConfigError, calibrate, fit_ranges, quantize_model, verify
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.refused_layers import NOT_YET, REFUSED

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.once


def load(name: str, *folders: str) -> Any:
    paths = [str(ROOT / folder) for folder in folders]
    sys.path[:0] = paths
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[: len(paths)]


catalogue = load("write_catalogue", "scripts")
ROWS = {row.name: row for row in catalogue.keras_catalogue()}
HERE = [name for name, row in ROWS.items() if row.here in ("quantized", "kept")]
REFUSES = [name for name, row in ROWS.items() if row.here == "refused"]

GROUPS = ("layers", "quantizers", "callbacks")
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AdaptiveAveragePooling2D": {"output_size": 2},
    "AdaptiveMaxPooling2D": {"output_size": 2},
    "AugMix": {},
    "AutoContrast": {},
    "CenterCrop": {"height": 2, "width": 2},
    "CutMix": {},
    "ELU": {},
    "Lambda": {"function": keras.ops.relu},
    "MixUp": {},
    "RandAugment": {},
    "RandomCrop": {"height": 2, "width": 2},
    "Resizing": {"height": 2, "width": 2},
    "Solarization": {},
    "UnitNormalization": {},
}
"""Refused layers of images that every backend can make; a stand-in takes the place of the others, which need more."""


def test_the_page_is_what_the_script_writes():
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    if f"## Keras {keras.__version__}\n" not in page:
        pytest.skip(f"the page is of another Keras than {keras.__version__}")
    assert page.endswith(catalogue.tables()), "run `make stubs`"


def test_every_public_class_has_one_row():
    public = {value for value in vars(keras.layers).values() if isinstance(value, type)}
    assert {getattr(keras.layers, name) for name in ROWS} == public
    assert len(ROWS) == len(public)


def test_reasons_are_given_only_where_there_is_nothing():
    assert {*REFUSED} & {*ROWS} == {name for name, row in ROWS.items() if row.here in ("refused", "part")}


@pytest.mark.parametrize("name", few(HERE, "AveragePooling1D", "GaussianNoise", "Rescaling"))
def test_a_layer_that_is_here_is_converted_and_verified(name: str):
    plain = load("whole_life", "tests/found_by_use").keras_model(name)
    random = np.random.default_rng(3)
    x = [random.normal(size=(20, *tensor.shape[1:])).astype(np.float32) for tensor in plain.inputs]
    data = x if len(x) > 1 else x[0]
    model = quantize_model(plain)
    fit_ranges(model, data)
    calibrate(model, data)
    assert verify(model, data).mismatches == 0


def stand_in(name: str) -> type[keras.layers.Layer]:
    return type(name, (keras.layers.Layer,), {"call": lambda self, inputs: inputs})


@pytest.mark.parametrize("name", REFUSES)
def test_a_refused_layer_is_refused_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch):
    if name not in ARGUMENTS:
        monkeypatch.setattr(keras.layers, name, stand_in(name))
    layer = getattr(keras.layers, name)(**ARGUMENTS.get(name, {}), name="refused")
    image = keras.Input((4, 4, 3), name="image")
    refusal = REFUSED[name]
    reason = "" if refusal is NOT_YET else f" ({refusal.reason}: {refusal.remedy})"
    with pytest.raises(ConfigError) as caught:
        quantize_model(keras.Model(image, layer(image), name="model"))
    assert str(caught.value).startswith(
        f"quantize_model: refused: {name} has no quantized form of its name, and no exact arithmetic{reason}. "
    )


@pytest.mark.parametrize("names", [catalogue.HGQ2, catalogue.QKERAS], ids=["hgq2", "qkeras"])
def test_every_public_name_of_a_predecessor_has_what_is_here_or_a_reason(names):
    rows = list(catalogue.predecessor_catalogue(names))
    assert len(rows) == sum(map(len, names.values()))
    for row in rows:
        if not row.python:
            assert row.config.startswith("none: "), row
            continue
        package, _, name = row.python.strip("`").partition(".")
        value = getattr(importlib.import_module(package), name)
        if kind := re.match(r"`(\w+\.\w+)`", row.config):
            assert value in [registry().load(group, kind[1]) for group in GROUPS if kind[1] in registry().names(group)]


def test_what_is_said_of_a_name_is_said_of_a_public_one():
    public = {name for names in (catalogue.HGQ2, catalogue.QKERAS) for part in names.values() for name in part}
    assert {*catalogue.OURS, *catalogue.WITHOUT, *catalogue.NOTES} <= public
    assert not {*catalogue.OURS} & {*catalogue.WITHOUT}


def test_a_quantized_layer_has_the_second_names_of_keras():
    for name, row in ROWS.items():
        for alias in row.aliases if row.how.startswith("`layers.") else ():
            assert getattr(hgq2_layers, f"Q{alias}") is registry().load("layers", row.how.strip("`")), name


def test_a_rule_matches_a_second_name_of_keras():
    image = keras.Input((4, 4, 3), name="image")
    plain = keras.Model(image, keras.layers.MaxPooling2D(name="pool")(image), name="model")
    model = quantize_model(plain, {"keras.MaxPool2D": {"input_quantizer": {"kind": "kbi", "b": 5}}})
    assert model.get_layer("pool").input_quantizer.config.b == 5
