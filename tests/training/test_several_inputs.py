"""Several inputs and outputs, weights of samples and labels, folds: what a config says, and what training gets."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import ConfigError, DataError
from hgq2_core.cli.main import app
from hgq2_core.config.model import ModelConfig
from hgq2_core.config.preflight.check import check_config
from hgq2_core.data.arrays import Rows
from hgq2_core.data.class_weight import with_class_weight
from hgq2_core.data.feed import Feed, fit_data, for_model
from hgq2_core.data.splits import Split
from hgq2_training import Npy, Npz, predict, resume, train
from hgq2_training.callbacks.budget import Budget
from hgq2_training.runs.configured import price_setters
from hgq2_training.runs.directory import load
from hgq2_training.sweeps.config import load_sweep
from hgq2_training.sweeps.sweep import check_sweep

SAMPLES = 60


@pytest.fixture
def archive(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    xa, xb = rng.normal(5, 3, (SAMPLES, 4)), rng.normal(0, 1, (SAMPLES, 3))
    kinds = np.array(["low", "mid", "top"])[np.arange(SAMPLES) % 3]
    arrays = {"xa": xa, "xb": xb, "e": xa.sum(axis=1, keepdims=True), "k": kinds, "w": rng.uniform(0.5, 2, SAMPLES)}
    np.savez(tmp_path / "two.npz", **arrays)
    return str(tmp_path / "two.npz")


def document(path: str, data: Any = None, **training: Any) -> dict[str, Any]:
    return {
        "model": {
            "inputs": {"a": {"shape": [4]}, "b": {"shape": [3]}},
            "layers": [
                {"kind": "dense", "name": "left", "units": 2, "inputs": ["a"]},
                {"kind": "dense", "name": "right", "units": 2, "inputs": ["b"]},
                {"kind": "concatenate", "name": "both", "inputs": ["left", "right"]},
                {"kind": "dense", "name": "energy", "units": 1, "inputs": ["both"]},
                {"kind": "dense", "name": "species", "units": 3, "inputs": ["both"]},
            ],
            "outputs": ["energy", "species"],
        },
        "data": {
            **{"kind": "npz", "path": path, "x": {"b": "xb", "a": "xa"}, "y": {"species": "k", "energy": "e"}},
            **{"classes": {"species": ["low", "mid", "top"]}, "sample_weight": "w", "standardize": True},
            **(data or {}),
        },
        "training": {
            "loss": {
                "energy": "mean_squared_error",
                "species": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
            },
            "loss_weights": {"energy": 0.5},
            "metrics": {"energy": ["mean_absolute_error"], "species": ["accuracy"]},
            "epochs": 1,
            **training,
        },
    }


def refused(document: Any) -> str:
    with pytest.raises((ConfigError, DataError)) as error:
        config = ModelConfig.parse(document)
        check_config(config, config.build())
    return str(error.value)


def test_arrays_come_by_name_whatever_their_order(archive: str) -> None:
    config = ModelConfig.parse(document(archive))
    splits = config.load_data()
    assert {name: x.shape[1] for name, x in splits.train.x.items()} == {"b": 3, "a": 4}
    ordered = for_model(splits, config.build())
    assert [x.shape[1:] for x in ordered.train.x] == [(4,), (3,)]
    assert [y.dtype for y in ordered.train.y] == [np.float32, np.int64]
    assert splits.describe() == (
        "39 train, 6 validation, 15 test samples; inputs b [3], a [4], standardized, species labels from 0 to 2, "
        "energy targets [1], weighted."
    )
    for name, x in splits.train.x.items():
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6, err_msg=name)


def test_losses_metrics_and_weights_are_those_of_each_output(archive: str) -> None:
    config = ModelConfig.parse(document(archive))
    model = config.build()
    splits = for_model(check_config(config, model), model)
    part = splits.test
    found = model.evaluate(part.x, part.y, sample_weight=part.weight, return_dict=True, verbose=0)
    assert {*found} == {"loss", "energy_loss", "species_loss", "energy_mean_absolute_error", "species_accuracy"}
    energy, logits = model.predict(part.x, verbose=0)
    squares = (energy - part.y[0])[:, 0] ** 2 * part.weight
    np.testing.assert_allclose(found["energy_loss"], squares.mean(), rtol=1e-4)
    assert found["species_accuracy"] == pytest.approx((logits.argmax(axis=1) == part.y[1]).mean())
    assert found["loss"] > 0.5 * found["energy_loss"] + found["species_loss"]  # the bits' price comes on top


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"energy": "mean_squared_error"}},
         "training.loss: is missing for species. Leave an output out in `model.outputs`."),
        ({"loss": {"energy": "mean_squared_error", "specis": "mean_squared_error"}},
         "training.loss.specis: no such output. Received: 'specis'. Allowed: energy, species. "
         "Did you mean 'species'?"),
        ({"loss": {"energy": "mean_squared_error", "species": "mean_squared_erro"}}, "training.loss.species: "),
        ({"loss_weights": {"left": 1.0}}, "training.loss_weights.left: no such output. Received: 'left'."),
        ({"loss_weights": {"energy": -1.0}}, "training.loss_weights.energy: "),
        ({"metrics": {"enrgy": []}}, "training.metrics.enrgy: no such output."),
        ({"loss": {"energy": "mean_squared_error", "species": "mean_squared_error"}},
         "training.loss.species: mean_squared_error compares targets with outputs of the same shape."),
        ({"metrics": {"species": ["mean_absolute_error"]}},
         "training.metrics.species.0: mean_absolute_error compares targets with outputs"),
        ({"class_weight": {"species": {"lo": 2}}},
         "training.class_weight.species.lo: no such label. Received: 'lo'. Allowed: low, mid, top. "
         "Did you mean 'low'?"),
        ({"class_weight": {"specis": "balanced"}},
         "training.class_weight.specis: no such output. Received: 'specis'. Allowed: energy, species. "
         "Did you mean 'species'?"),
        ({"class_weight": {"energy": "balanced"}}, "training.class_weight.energy: needs targets that are labels."),
        ({"class_weight": {"low": -1}}, "training.class_weight.low: must be a number that is at least 0. Received: -1"),
        ({"class_weight": "even"}, "training.class_weight: must be `balanced`, or a mapping from labels to factors."),
        ({"front": {"metric": "accuracy", "points": 1}, "epochs": 10},
         "training.front.metric: no such metric. Received: 'accuracy'. Allowed: energy_loss, "
         "energy_mean_absolute_error, loss, species_accuracy, species_loss. Did you mean 'species_accuracy'?"),
        ({"budget": {"ebops": 1000, "metric": "species_acuracy"}},
         "training.budget.metric: no such metric. Received: 'species_acuracy'."),
        ({"steps_per_epoch": 9}, "training.steps_per_epoch: the training part has 2 batches of 32. Received: 9."),
        ({"steps_per_epoch": 1, "shuffle": False}, "training.steps_per_epoch: without `shuffle`"),
    ],
)  # fmt: skip
def test_what_does_not_fit_an_output_is_said_before_training(archive: str, change: Any, message: str) -> None:
    assert refused(document(archive, **change)).startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x": {"a": "xa", "c": "xb"}}, "model.inputs: the model has no input 'c', for which there are data."),
        ({"x": {"a": "xa"}}, "model.inputs: no data for b. The data have a."),
        ({"x": {"a": "xb", "b": "xa"}}, "model.inputs.a: the shape does not fit the data. Received: shape [4], data"),
        ({"y": {"energy": "e"}, "classes": None}, "model.outputs: no data for species. The data have energy."),
        ({"classes": {"energie": ["a"]}}, "data: `classes` names outputs. Received: 'energie'. Allowed: energy, spec"),
        ({"classes": {"species": ["low", "mid", "low"]}}, "data: `classes.species` names differ. Received twice: low."),
        ({"sample_weight": "xb"}, "{path}: 'xb' must hold one weight for each sample, at least 0."),
        ({"folds": 3, "fold": 3}, "data: `folds` is at least 2, and `fold` counts them from 0."),
        ({"folds": 3, "validation_fraction": 0.2}, "data: `folds` takes the place of `validation_fraction`."),
        ({"log": ["c"]}, "`log` names inputs. Received: 'c'. Allowed: a, b."),
        ({"log": ["b"]}, "log: takes numbers above 0; `clip` gives the inputs a lower limit."),
        ({"clip": {"b": [2, 1]}}, "data: `clip` is the smallest and the largest value"),
    ],
)
def test_data_that_do_not_fit_are_named(archive: str, data: Any, message: str) -> None:
    assert refused(document(archive, data)).startswith(message.format(path=archive))


def test_a_sweep_measures_each_output(archive: str, tmp_path: Path) -> None:
    space = {"model.layers.left.units": {"choices": [2, 3]}}
    section = {"objectives": ["val_species_acuracy", "ebops"], "space": space}
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"sweep": section, **document(archive)}))
    with pytest.raises(ConfigError, match=r"Allowed: ebops, val_energy_.*Did you mean 'val_species_accuracy'\?"):
        check_sweep(load_sweep(path))


def test_class_weights_multiply_the_weights_of_the_samples() -> None:
    y, weight = np.array([0, 0, 0, 1]), np.array([1.0, 1, 2, 1], np.float32)
    split = Split(np.zeros((4, 1), np.float32), y, weight)

    def weights(class_weight: Any, classes: Any = None) -> Any:
        return with_class_weight(split, class_weight, ["out"], classes).weight.tolist()

    assert weights(None) == [1, 1, 2, 1]
    assert weights({"1": 3}) == [1, 1, 2, 3]
    assert weights({"rare": 3}, ("common", "rare")) == [1, 1, 2, 3]
    assert weights("balanced") == [0.625, 0.625, 1.25, 2.5]  # the same total, and the same total in all
    assert weights({"out": "balanced"}) == weights("balanced")


def test_class_weights_read_one_hot_targets_in_a_file_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    class File:
        def __getitem__(self, rows: Any) -> Any:
            lengths.append(len(rows))
            return np.eye(3, dtype=np.float32)[rows % 3]

    monkeypatch.setattr("hgq2_core.data.arrays.CHUNK_BYTES", 48)
    split = Split(np.zeros((10, 1), np.float32), Rows(File(), np.arange(10)))
    weights = with_class_weight(split, {"0": 2}, ["out"], None).weight
    assert weights.tolist() == [2, 1, 1, 2, 1, 1, 2, 1, 1, 2]
    assert max(lengths) == 4


def test_folds_divide_what_is_not_for_test(archive: str) -> None:
    options = {"path": archive, "x": "xa", "y": "k", "classes": ("low", "mid", "top"), "folds": 3}
    every = [Npz(**options, fold=fold).load() for fold in range(3)]
    rows = [{row.tobytes() for row in splits.validation.x} for splits in every]
    assert [len(each) for each in rows] == [15, 15, 15]
    assert len(set.union(*rows)) == 45
    for splits, own in zip(every, rows, strict=True):
        assert splits.test.x.tolist() == every[0].test.x.tolist()
        assert {row.tobytes() for row in splits.train.x} == set.union(*rows) - own
        assert np.bincount(splits.validation.y).tolist() == [5, 5, 5]


def test_parts_may_have_files_of_their_own(archive: str, tmp_path: Path) -> None:
    names = {"x": "xa", "y": "k", "classes": ("low", "mid", "top"), "sample_weight": "w"}
    splits = Npz(path=archive, test_path=archive, validation_path=archive, **names).load()
    assert [len(part) for part in splits.parts.values()] == [SAMPLES] * 3
    assert splits.test.weight.shape == (SAMPLES,)
    np.savez(tmp_path / "other.npz", xa=np.zeros((2, 5)), k=np.array(["low", "top"]), w=np.ones(2))
    with pytest.raises(DataError, match=r"must agree except in the number of samples. Received: shapes \(60, 4\)"):
        Npz(path=archive, test_path=str(tmp_path / "other.npz"), **names).load()


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_parts_of_their_own_have_weights(tmp_path: Path, kind: str) -> None:
    arrays = {"x": np.zeros((9, 2)), "y": np.arange(9) % 3, "w": np.full(9, 2.0)}
    arrays |= {"xv": np.zeros((3, 2)), "yv": np.arange(3), "wv": np.array([1.0, 0.0, 3.0])}
    np.savez(tmp_path / "a.npz", **arrays)
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    where = {name: name if kind == "npz" else str(tmp_path / f"{name}.npy") for name in arrays}
    names = {"x": where["x"], "y": where["y"], "sample_weight": where["w"]}
    given = {**names, "x_validation": where["xv"], "y_validation": where["yv"]}
    made = partial(Npz, path=str(tmp_path / "a.npz")) if kind == "npz" else Npy
    splits = made(**given, sample_weight_validation=where["wv"]).load()
    assert splits.validation.weight.tolist() == [1, 0, 3] and set(splits.train.weight.tolist()) == {2}
    assert made(**given).load().validation.weight is None
    with pytest.raises(ConfigError, match="`sample_weight_test` is of a part that is given by `x_test`"):
        made(**given, sample_weight_test=where["wv"])


def test_fractions_count_together_only_for_parts_that_are_split_off(archive: str) -> None:
    names = {"path": archive, "x": "xa", "y": "k", "classes": ("low", "mid", "top")}
    with pytest.raises(ConfigError, match="together must be less than 1"):
        Npz(**names, test_fraction=0.6, validation_fraction=0.4)
    splits = Npz(**names, test_path=archive, test_fraction=0.6, validation_fraction=0.4).load()
    assert (len(splits.validation), len(splits.test)) == (SAMPLES * 2 // 5, SAMPLES)


def test_arrays_of_a_part_are_compared_by_name_whatever_their_order(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((9, 2)), "b": np.zeros((9, 3)), "at": np.zeros((4, 2)), "bt": np.zeros((4, 5))}
    np.savez(tmp_path / "parts.npz", **arrays, y=np.zeros(9), yt=np.zeros(4))
    for name, array in {**arrays, "y": np.zeros(9), "yt": np.zeros(4)}.items():
        np.save(tmp_path / f"{name}.npy", array)
    archive, file = str(tmp_path / "parts.npz"), f"{tmp_path}/{{}}.npy".format
    with pytest.raises(DataError) as error:
        Npz(path=archive, x={"a": "a", "b": "b"}, x_test={"b": "bt", "a": "at"}, y_test="yt").load()
    assert str(error.value).startswith(f"{archive}: 'b' and 'bt' must agree except in the number of samples.")
    with pytest.raises(DataError) as error:
        Npy(
            **{"x": {"a": file("a"), "b": file("b")}, "y": file("y")},
            **{"x_test": {"b": file("bt"), "a": file("at")}, "y_test": file("yt")},
        ).load()
    assert str(error.value).startswith(f"{file('b')} and {file('bt')} must agree except in the number of samples.")


def test_an_epoch_of_some_steps_has_other_samples_each_time() -> None:
    split = Split(np.arange(10.0)[:, None], np.arange(10))
    feed = fit_data(split, None, 2, steps=2)["x"]
    assert isinstance(feed, Feed) and feed.num_batches == 2
    seen = []
    for _ in range(8):
        feed.on_epoch_begin()
        seen.append(np.concatenate([feed[0][1], feed[1][1]]).tolist())
    assert all(len({*each}) == 4 for each in seen)
    assert len({value for each in seen for value in each}) > 7
    assert fit_data(split, None, 2)["x"] is split.x


@pytest.mark.slow
def test_from_config_to_new_data(archive: str, tmp_path: Path) -> None:
    """Trained with a front, verified, resumed to the bit, and applied to raw data."""
    callbacks = [{"kind": "pareto_front", "metrics": ["val_species_accuracy", "ebops"]}]
    config = ModelConfig.parse(
        document(archive, class_weight={"species": "balanced"}, epochs=2, steps_per_epoch=1, callbacks=callbacks)
    )
    run = train(config, tmp_path / "run")
    assert run.verification.ok
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"energy_mean_absolute_error", "species_accuracy"} <= {*metrics["test"]}
    train(config, tmp_path / "again", epochs=1)
    again = resume(tmp_path / "again", epochs=2)
    assert again.metrics["test"] == run.metrics["test"]
    weights = [[each.tolist() for each in load(folder).get_weights()] for folder in (run.directory, again.directory)]
    assert weights[0] == weights[1]
    by_keras, by_integers = predict(run.directory, archive), predict(run.directory, archive, integers=True)
    labels = by_keras.outputs["species"].argmax(axis=1)
    assert {name: own.tolist() for name, own in by_keras.classes.items()} == {
        "species": np.array(["low", "mid", "top"])[labels].tolist()
    }
    by_keras.save(tmp_path / "found.csv")
    header = (tmp_path / "found.csv").read_text().splitlines()[0]
    assert header == "energy,species_0,species_1,species_2,species_class"
    for name in ("energy", "species"):
        assert by_keras.outputs[name].tolist() == by_integers.outputs[name].tolist()
    with np.load(archive) as arrays:
        inputs = {"a": arrays["xa"], "b": arrays["xb"]}
    assert predict(run.directory, inputs).outputs["energy"].tolist() == by_keras.outputs["energy"].tolist()
    (tmp_path / "table.csv").write_text("detector\ninner\n")
    with pytest.raises(DataError, match="the model takes a, b; give an array for each, by name"):
        predict(run.directory, tmp_path / "table.csv")
    for command in ("verify", "calibrate", "report", "doctor"):
        result = CliRunner().invoke(app, [command, str(run.directory)])
        assert result.exit_code == 0, (command, result.output, result.exception)


FAST = {"kind": "adam", "learning_rate": 0.03}


@pytest.mark.slow
def test_a_budget_bounds_the_cost_of_several_outputs(archive: str, tmp_path: Path) -> None:
    config = ModelConfig.parse(document(archive, budget={"ebops": 1500}, epochs=16, batch_size=8, optimizer=FAST))
    run = train(config, tmp_path / "run")
    assert run.metrics["ebops"] <= 1500 and run.verification.ok


def test_a_budget_is_chosen_by_the_metric_of_the_config(archive: str) -> None:
    config = ModelConfig.parse(document(archive, budget={"ebops": 1500, "metric": "species_accuracy"}))
    assert config.training is not None
    (budget,) = price_setters(config.training, config.build())
    assert isinstance(budget, Budget) and budget.metric == "species_accuracy"


def test_a_front_is_chosen_by_the_metric_of_the_config(archive: str, tmp_path: Path) -> None:
    front = {"points": 1, "finetune_epochs": 1, "metric": "species_accuracy"}
    train(ModelConfig.parse(document(archive, front=front, epochs=2)), tmp_path / "run")
    written = json.loads((tmp_path / "run" / "front" / "front.json").read_text())
    assert written["directions"] == {"val_species_accuracy": "max", "ebops": "min"}
