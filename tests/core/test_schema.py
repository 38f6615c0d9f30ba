"""The JSON schema of a config file."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from model_configs import EXAMPLES, FUNCTIONAL, VALID, changed

from hgq2_core import PluginError, json_schema
from hgq2_core.config import json_schema as module
from hgq2_core.config.reader import read_document
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.base import DEFINITION, StrictModel
from hgq2_core.schema.keras_objects import is_keras_kind, keras_kinds

KINDS = ("quantizer", "layer", "dataset", "callback", "optimizer", "loss", "metric")


@pytest.fixture(scope="module")
def schema() -> dict:
    return json_schema()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        assert DEFINITION not in node
    for item in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(item)


def names_of(schema: dict, definition: str) -> list[str]:
    entries = schema["$defs"][definition]["oneOf"]
    kinds = [entry["properties"]["kind"] for entry in entries if "kind" in entry.get("properties", {})]
    return [name for kind in kinds for name in kind["enum"]]


def test_it_is_a_valid_schema_and_plain_data(schema: dict) -> None:
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"].endswith("2020-12/schema")


def test_every_reference_resolves(schema: dict) -> None:
    found = set(references(schema))
    assert {f"#/$defs/{kind}" for kind in KINDS} <= found
    assert {reference.removeprefix("#/$defs/") for reference in found} <= set(schema["$defs"])


def test_every_kind_is_there_once(schema: dict) -> None:
    kinds = registry().names("quantizers")
    assert {"fixed_point.kbi", "fixed_point.kif"} <= set(kinds)
    assert names_of(schema, "quantizer") == [name for kind in kinds for name in (kind, kind.partition(".")[2])]
    ours = [kind for kind in registry().names("layers") if not is_keras_kind(kind)]
    assert {"layers.dense", "layers.einsum_dense"} <= set(ours)
    layers = names_of(schema, "layer")
    assert set(layers) == {*ours, *(kind.partition(".")[2] for kind in ours), *keras_kinds("layers")}
    assert {"digits", "training.digits"} <= set(names_of(schema, "dataset"))
    assert {"pareto_front", "keras.EarlyStopping"} <= set(names_of(schema, "callback"))
    for kind in KINDS:
        names = names_of(schema, kind)
        assert len(names) == len(set(names))


def test_asking_again_gives_the_same(schema: dict) -> None:
    assert json_schema() == schema


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid(schema: dict, path: Path) -> None:
    Draft202012Validator(schema).validate(read_document(path))


@pytest.mark.parametrize("document", [VALID, FUNCTIONAL], ids=["chain", "graph"])
def test_valid_documents_are_valid(schema: dict, document: dict) -> None:
    assert best_match(Draft202012Validator(schema).iter_errors(document)) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.layers.0", "keras.Flatten"),
        ("model.layers.0.kernel_quantizer", "kbi"),
        ("model.layers.0.kernel_quantizer", None),
        ("model.layers.0.kernel_quantizer.granularity", [0]),
        ("model.layers.0.kernel_initializer", {"kind": "constant", "value": 0.5}),
        ("model.layers.0.inputs", ["pixels"]),
        ("model.layers.0.inputs", "pixels"),
        ("training.optimizer", "adam"),
        ("training.loss", {"kind": "SparseCategoricalCrossentropy"}),
        ("training.metrics", ["acc", {"kind": "auc", "num_thresholds": 10}]),
        ("training.callbacks", ["pareto_front", {"kind": "keras.EarlyStopping", "patience": 3}]),
        ("data", "digits"),
        ("defaults.activation", {"kind": "kif", "i_bounds": [-3, 3]}),
    ],
)
def test_what_is_taken(schema: dict, path: str, value: object) -> None:
    assert best_match(Draft202012Validator(schema).iter_errors(changed(path, value))) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("modle", {}),
        ("seed", -1),
        ("seed", True),
        ("model.layer", []),
        ("model.layers", []),
        ("model.inputs.pixels.shape", [0]),
        ("model.layers.0.unit", 3),
        ("model.layers.0.units", "32"),
        ("model.layers.0.units", 10**12),
        ("model.layers.0.kind", "dens"),
        ("model.layers.0.kind", "keras.Lambda"),
        ("model.layers.0.name", "a b"),
        ("model.layers.0.inputs", []),
        ("model.layers.0.dtype", "float16"),
        ("model.layers.0.activation", "gelu"),
        ("model.layers.0", "dense"),
        ("model.layers.1.rte", 0.5),
        ("model.layers.0.kernel_quantizer", "kbj"),
        ("model.layers.0.kernel_quantizer.f", 3),
        ("model.layers.0.kernel_quantizer.b", "5"),
        ("model.layers.0.kernel_quantizer.round_mode", "RNDD"),
        ("model.layers.0.kernel_quantizer.granularity", "chanel"),
        ("defaults.wieght", "kbi"),
        ("defaults.ebops_beta", -1),
        ("data.test_fraction", 2.0),
        ("training.optimizer.kind", "adm"),
        ("training.optimizer.lr", 0.1),
        ("training.optimizer.bit_learning_rate_scale", 0),
        ("training.loss.from_logit", True),
        ("training.metrics", "accuracy"),
        ("training.epochs", 0),
        ("training.callbacks.0.kind", "keras.ModelCheckpoint"),
    ],
)
def test_what_is_refused(schema: dict, path: str, value: object) -> None:
    assert not Draft202012Validator(schema).is_valid(changed(path, value))


def test_a_kind_that_does_not_load_is_left_out(monkeypatch: pytest.MonkeyPatch, schema: dict) -> None:
    real = module.registry()

    class Broken:
        names = staticmethod(real.names)

        @staticmethod
        def load(group: str, kind: str) -> type:
            if kind in ("layers.dense", "fixed_point.kif"):
                raise PluginError(kind)
            return real.load(group, kind)

    monkeypatch.setattr(module, "registry", Broken)
    found = json_schema()
    assert {"fixed_point.kbi", "kbi"} <= set(names_of(found, "quantizer"))
    assert not {"fixed_point.kif", "kif"} & set(names_of(found, "quantizer"))
    assert set(names_of(schema, "layer")) - set(names_of(found, "layer")) == {"layers.dense", "dense"}


def test_definitions_that_a_kind_brings_along_are_hoisted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.registry()

    class Training(StrictModel):  # the name of one of ours
        depth: int = 1

    class Nested:
        def __init__(self, inner: Training, others: list[Training] = []) -> None: ...  # noqa: B006

    class Wider:
        @staticmethod
        def names(group: str) -> tuple[str, ...]:
            return (*real.names(group), "mine.nested") if group == "datasets" else real.names(group)

        @staticmethod
        def load(group: str, kind: str) -> type:
            return Nested if kind == "mine.nested" else real.load(group, kind)

    monkeypatch.setattr(module, "registry", Wider)
    found = json_schema()
    assert {reference.removeprefix("#/$defs/") for reference in references(found)} <= set(found["$defs"])
    assert list(found["$defs"]["mine.nested.Training"]["properties"]) == ["depth"]
    assert "epochs" in found["$defs"]["Training"]["properties"]
    document = copy.deepcopy(VALID)
    for data, valid in (({"inner": {"depth": 3}}, True), ({"inner": {"depth": "3"}}, False), ({}, False)):
        document["data"] = {"kind": "nested", **data}
        assert Draft202012Validator(found).is_valid(document) is valid


@pytest.mark.parametrize("name", ["acc", "accuracy", "ce", "crossentropy"])
def test_metrics_that_keras_knows_by_a_string_are_valid_written_out(schema: dict, name: str) -> None:
    document = changed("training.metrics", [{"kind": name}])
    assert best_match(Draft202012Validator(schema).iter_errors(document)) is None
