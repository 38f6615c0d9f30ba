"""A run directory as it is read: what is there, what is not yet, what is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training_runs import config

from hgq2_core import ConfigError, ModelFileError
from hgq2_core.config.resolved import differences
from hgq2_training.runs.directory import (
    load,
    load_checkpoint,
    load_recorded,
    load_run,
    new_directory,
    read_metrics,
    save,
)
from hgq2_training.runs.report import report


def of(model: keras.Model) -> list[Any]:
    return [keras.ops.convert_to_numpy(weight).tolist() for weight in model.weights]


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    model = config().build()
    save(model, tmp_path / "model.keras")
    save(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), tmp_path / "frozen.keras")
    assert of(load(tmp_path)) == of(model)
    assert len(load(tmp_path, frozen=True).weights) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"model.keras", "frozen.keras"}


def test_a_model_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'model.keras'}: no such file. A run directory is what `hgq2 train FILE -o DIR` writes. "
        f"Received: {tmp_path}"
    )
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ModelFileError) as error:
        load(tmp_path, frozen=True)
    assert str(error.value) == (
        f"{tmp_path / 'frozen.keras'}: no such file. The training did not end. To resume: "
        f"hgq2 train -o {tmp_path} --resume. Received: {tmp_path}"
    )


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"half")
    with pytest.raises(ModelFileError, match=r"model.keras: is not a zip archive as Keras writes it, or is truncated"):
        load(tmp_path)


def test_the_directory_of_a_sweep_names_a_trial(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"trial_000{number}").mkdir()
    (tmp_path / "trial_0000" / "config.yaml").touch()
    for read in (load, load_recorded):
        with pytest.raises(ModelFileError, match=r"of a sweep, whose trials are runs, such as .*trial_0000\."):
            read(tmp_path)


def test_config_and_model_come_together(tmp_path: Path) -> None:
    for read in (load_run, load_recorded):
        with pytest.raises(ModelFileError) as error:
            read(tmp_path)
        assert str(error.value) == f"{tmp_path / 'config.yaml'}: no such file; {tmp_path} is not a run directory."
    (tmp_path / "config.yaml").write_text(json.dumps(config().to_dict()))
    save(config().build(), tmp_path / "model.keras")
    found, model = load_run(tmp_path)
    assert found == config()
    assert of(model) == of(config().build())


def test_a_run_without_checkpoint_or_metrics_has_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    assert read_metrics(tmp_path) == {}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_metrics_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"metrics.json: is damaged"):
        read_metrics(tmp_path)


def test_a_report_is_metrics_and_layers(tmp_path: Path) -> None:
    save(config().build(), tmp_path / "model.keras")
    (tmp_path / "metrics.json").write_text('{"ebops": 3.0}')
    found = report(tmp_path).to_dict()
    assert (found["directory"], found["ebops"]) == (str(tmp_path), 3.0)
    assert [row["name"] for row in found["summary"]["layers"]] == ["hidden", "unseeded", "seeded", "logits"]


def test_a_new_directory_is_not_there_or_empty_but_for_leftovers(tmp_path: Path) -> None:
    assert new_directory(tmp_path / "new") == tmp_path / "new"
    assert not (tmp_path / "new").exists()
    (tmp_path / ".config.0123abcd.partial.yaml").touch()
    assert new_directory(tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    for name in ("notes.txt", ".config.0123abcd.partial.yaml"):
        (tmp_path / name).touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError) as error:
            new_directory(path)
        assert str(error.value) == (
            f"{path}: exists and is not empty; a run needs a new directory, nothing is overwritten."
        )
    assert len(list(tmp_path.iterdir())) == 2


def test_differences_are_named_by_their_place() -> None:
    before = {"seed": 0, "layers": [{"units": 3, "name": "a"}, {"units": 4}], "points": [1, 2], "same": {"x": 1.0}}
    after = {"seed": 1, "layers": [{"units": 3, "name": "b"}, {}], "points": [1], "same": {"x": 1}, "new": {"y": 2}}
    assert list(differences(before, after)) == [
        "seed: 0 before, 1 now",
        "layers.0.name: 'a' before, 'b' now",
        "layers.1.units: 4 before, None now",
        "points: 2 entries before, 1 entries now",
        "new: None before, 1 entries now",
    ]
    assert list(differences(before, before)) == []


# --- first weights ---------------------------------------------------------------------------------------------------


def layers(*others: dict[str, Any]) -> Any:
    document = config().to_dict()
    document["model"]["layers"] += others
    return type(config()).parse(document)


def test_first_weights_follow_from_the_seed_and_the_name_of_the_layer_alone() -> None:
    plain = config().build()
    longer = layers({"kind": "keras.Dropout", "rate": 0.1}, {"kind": "dense", "name": "more", "units": 10}).build()
    for name in ("hidden", "logits"):
        assert of(plain.get_layer(name)) == of(longer.get_layer(name))
    unseeded = [model.get_layer("unseeded").seed_generator.state for model in (plain, longer)]
    assert len({str(keras.ops.convert_to_numpy(state)) for state in unseeded}) == 1
    kernels = [np.array(each.get_layer(name).kernel)[:3] for each, name in ((longer, "logits"), (longer, "more"))]
    assert (kernels[0] != kernels[1]).any()  # layers of the same shape do not begin alike
    document = {**config().to_dict(), "seed": 1}
    assert of(type(config()).parse(document).build()) != of(plain)


def test_checking_a_config_again_changes_no_weights() -> None:
    first = config()
    expected = of(first.build())
    for _ in range(2):
        type(first).parse(first.to_dict())
    assert of(first.build()) == expected


def test_what_follows_the_building_does_not_depend_on_the_last_layer() -> None:
    draws = set()
    for each in (config(), layers({"kind": "dense", "name": "more", "units": 10})):
        keras.utils.set_random_seed(3)
        each.build()
        draws.add((np.random.random(), keras.random.uniform(()).item()))
    assert len(draws) == 1
