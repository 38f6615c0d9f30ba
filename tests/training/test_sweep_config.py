"""Sweep files: what they may say, and where the errors are."""

from __future__ import annotations

import json
import math
import re
import sys
from importlib import metadata

import pytest
from sweep_files import BETA, MODEL, RATE, SPACE, UNITS, make_sweep, sweep_document, write
from typer.testing import CliRunner

from hgq2_core.cli.main import app
from hgq2_core.errors import ConfigError
from hgq2_training.sweeps.config import load_sweep
from hgq2_training.sweeps.pruning import hopeless, lag
from hgq2_training.sweeps.space import Parameter, apply
from hgq2_training.sweeps.sweep import check_sweep, run_sweep

WRONG = [
    ({"space": {}}, "sweep.space: must be a mapping of at least 1 item. Received: {}."),
    ({"space": {RATE: {"low": 0.1}}}, f"sweep.space.{RATE}: needs `low` and `high`, or `choices`."),
    ({"space": {RATE: {"low": 2, "high": 1}}}, "`low` must be below `high`. Received: low=2, high=1."),
    ({"space": {RATE: {"low": 0, "high": 1, "log": True}}}, "`log` needs a positive `low`"),
    ({"space": {RATE: {"low": 1, "choices": [1]}}}, "has both `choices` and a range"),
    ({"space": {RATE: {"choices": [1, 1]}}}, "`choices` must differ. Received: [1, 1]."),
    ({"space": {UNITS: {"low": 4, "high": 8, "step": 0.5}}}, "`step` of a range of integers must be one."),
    ({"space": {UNITS: {"lo": 4, "high": 8}}}, "unknown field 'lo'. Allowed: choices, high, log, low, step."),
    ({"objectives": ["test_accuracy"]}, "'test_accuracy' would choose by the test part. Take val_accuracy."),
    ({"objectives": ["accuracy"]}, "on the validation part. Did you mean 'val_accuracy'?"),
    ({"objectives": ["ebops", "ebops"]}, "objectives: `metrics` must name one metric or more, each once."),
    ({"constraints": {"ebops": {}}}, "sweep.constraints.ebops: needs either `at_most` or `at_least`."),
    ({"prune": {"pruner": "median"}}, "sweep.prune.pruner: 'median' compares one objective. Received: 2."),
    ({"prune": {}}, "sweep.prune: needs either `pruner`, for one objective, or `margin`."),
    ({"storage": "jurnal"}, "sweep.storage: not allowed. Received: 'jurnal' (str). Allowed: journal, sqlite, or a URL"),
    ({"runner": "slurm"}, "sweep.runner: must be a kind of runner, or a mapping with `kind`."),
    ({"runner": {"kind": "ray", "adress": "auto"}}, "sweep.runner: unknown field 'adress'"),
    ({"space": {"seed": {"choices": [1, 2]}}, "seeds": 2}, "sweep.seeds: the space has `seed` as well."),
    ({"space": {RATE: SPACE[RATE], "training.optimizer": {"choices": ["sgd"]}}},
     f"sweep.space.{RATE}: lies inside training.optimizer, which is tried as a whole."),
    ({"trails": 3}, "sweep: unknown field 'trails'."),
    # The values are checked against the schema of the model's config, each at its place.
    ({"space": {UNITS: {"choices": [4, 0]}}}, f"sweep.space.{UNITS}.choices.1: model.layers.0.units: "),
    ({"space": {UNITS: {"low": 4.5, "high": 8.0}}}, f"{UNITS}.low: model.layers.0.units: must be an integer"),
    ({"space": {BETA: {"low": -1.0, "high": 1.0}}}, f"sweep.space.{BETA}.low: defaults.ebops_beta: "),
    ({"space": {"model.layers.hiden.units": {"choices": [4, 8]}}}, "Received: 'hiden'. Allowed: an index"),
    ({"space": {"training.optimizer.rate": {"choices": [4]}}}, "training.optimizer: unknown argument 'rate'."),
]  # fmt: skip


@pytest.mark.parametrize(("section", "message"), WRONG, ids=range(len(WRONG)))
def test_an_error_says_its_place(tmp_path, section, message):
    with pytest.raises(ConfigError) as error:
        make_sweep(tmp_path, **section)
    lines = str(error.value).splitlines()
    assert any(line.startswith(f"{tmp_path / 'file.yaml'}: sweep") for line in lines) and message in str(error.value)


def test_a_path_that_does_not_exist_is_reported_once(tmp_path):
    with pytest.raises(ConfigError) as error:
        make_sweep(tmp_path, space={"model.layers.hiden.units": {"choices": [4, 8, 16]}})
    assert len(str(error.value).splitlines()) == 1


def test_a_base_is_read_from_beside_the_file_and_changed_by_settings(tmp_path):
    write(tmp_path / "model.yaml", MODEL)
    path = write(tmp_path / "sweep.yaml", {"base": "model.yaml", "sweep": sweep_document()["sweep"]})
    sweep = load_sweep(path, ["training.epochs=7", "sweep.trials=2"])
    assert (sweep.config.training.epochs, sweep.section.trials) == (7, 2)
    assert load_sweep(write(tmp_path / "whole.yaml", sweep.to_dict())) == sweep


def test_a_base_and_its_fields_contradict_each_other(tmp_path):
    path = write(tmp_path / "sweep.yaml", {"base": "model.yaml", **sweep_document()})
    with pytest.raises(ConfigError, match=r"data, model, seed, training: stands in model.yaml as well"):
        load_sweep(path)


def test_a_base_with_a_sweep_of_its_own_is_refused(tmp_path):
    write(tmp_path / "other.yaml", sweep_document())
    path = write(tmp_path / "sweep.yaml", {"base": "other.yaml", "sweep": sweep_document()["sweep"]})
    with pytest.raises(ConfigError, match=r"base: must be a model's config. Received: other.yaml, which is a sweep"):
        load_sweep(path)


def test_an_error_of_the_base_names_its_file(tmp_path):
    write(tmp_path / "model.yaml", MODEL | {"sed": 0})
    path = write(tmp_path / "sweep.yaml", {"base": "model.yaml", "sweep": sweep_document()["sweep"]})
    with pytest.raises(ConfigError, match=r"model\.yaml: unknown field 'sed'\. .* Did you mean 'seed'\?"):
        load_sweep(path)


def test_values_are_set_in_a_copy():
    changed = apply(MODEL, {RATE: 0.5, UNITS: 9, BETA: 1e-6})
    assert changed["training"]["optimizer"]["learning_rate"] == 0.5
    assert changed["model"]["layers"][0]["units"] == 9
    assert changed["defaults"] == {"ebops_beta": 1e-6}
    assert "defaults" not in MODEL and MODEL["model"]["layers"][0]["units"] == 4


def test_choices_are_any_plain_data():
    choices = [{"kind": "adam"}, {"kind": "sgd", "momentum": 0.9}, None]
    parameter = Parameter(choices=choices)
    assert [parameter.value(label) for label in parameter.labels] == choices
    assert Parameter(choices=[1, True]).labels == ["1", "true"]


def test_ranges_become_distributions():
    optuna = pytest.importorskip("optuna")
    kinds = optuna.distributions
    assert Parameter(low=1, high=9, step=2).distribution() == kinds.IntDistribution(1, 9, step=2)
    assert Parameter(low=1, high=9.0).distribution() == kinds.FloatDistribution(1, 9)
    assert Parameter(**SPACE[RATE]).distribution() == kinds.FloatDistribution(0.001, 0.1, log=True)
    assert Parameter(**SPACE[UNITS]).distribution() == kinds.CategoricalDistribution([4, 6, 8])


# --- pruning by the front

DIRECTIONS = {"val_accuracy": "max", "ebops": "min"}


def point(accuracy: float, ebops: float) -> dict[str, float]:
    return {"val_accuracy": accuracy, "ebops": ebops}


def test_the_lag_is_the_share_by_which_every_objective_must_improve():
    others = [point(0.5, 1000.0), point(1.0, 4000.0)]
    assert lag([point(0.25, 2000.0)], others, DIRECTIONS) == 0.5  # accuracy 50 % and cost 100 % behind the first
    assert lag([point(0.25, 2000.0), point(0.5, 1000.0)], others, DIRECTIONS) == 0.0  # one of them is there
    assert lag([point(1.0, 3000.0)], others, DIRECTIONS) == -0.25  # as accurate as the second, and cheaper
    assert lag([point(1.25, 2000.0)], others, DIRECTIONS) == -0.5  # ahead of both
    assert lag([], others, DIRECTIONS) == math.inf
    assert lag(others, [], DIRECTIONS) == -math.inf


def test_a_trial_is_compared_after_a_third_and_two_thirds_of_its_epochs(tmp_path):
    section = make_sweep(tmp_path, prune={"margin": 0.2, "startup_trials": 2}).section
    finished = [([point(0.8, 1000.0)] * 6, 6)] * 2
    bad = point(0.4, 3000.0)
    assert hopeless([bad], 6, finished, section) == ""  # a sixth
    assert hopeless([bad] * 2, 6, finished, section) == "its front after 2 of 6 epochs was 50.0% behind"
    assert hopeless([bad] * 2, 6, finished[:1], section) == ""  # too few finished trials
    assert hopeless([bad, point(0.7, 1150.0)], 6, finished, section) == ""  # 12.5 % behind
    late = [point(0.7, 1150.0)] * 2 + [bad] * 2
    assert hopeless(late, 6, finished, section) == ""  # its front still has the first epochs
    assert hopeless([bad] * 6, 6, finished, section) == ""  # nothing is left to save


def test_a_trial_is_compared_with_what_others_were_at_that_time(tmp_path):
    section = make_sweep(tmp_path, prune={"margin": 0.2, "startup_trials": 1}).section
    slow_starter = [point(0.1, 5000.0)] * 2 + [point(0.9, 1000.0)] * 4
    assert hopeless([point(0.2, 4000.0)] * 2, 6, [(slow_starter, 6)], section) == ""


def test_epochs_without_a_finite_value_count_as_behind(tmp_path):
    section = make_sweep(tmp_path, prune={"margin": 0.2, "startup_trials": 1}).section
    finished = [([point(0.8, 1000.0)] * 6, 6)]
    assert hopeless([point(float("nan"), 10.0)] * 2, 6, finished, section) != ""


# --- hgq2 validate, and what is installed


def test_validate_checks_a_sweep_file(tmp_path):
    path = write(tmp_path / "sweep.yaml", sweep_document())
    result = CliRunner().invoke(app, ["validate", str(path), "--no-data"])
    message = f"{path.name}: valid. A sweep of 2 fields for val_accuracy, ebops."
    assert "".join(result.output.split()).endswith("".join(message.split()))  # wherever its lines are broken
    path = write(path, sweep_document(trials=0))
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 2 and f"{path}: sweep.trials: must be greater than or equal to 1." in result.output


def test_an_interrupted_sweep_says_how_it_goes_on_to_its_end(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("hgq2_training.sweeps.sweep.run_sweep", interrupted)
    path, folder = write(tmp_path / "sweep.yaml", sweep_document()), tmp_path / "sweep"
    result = CliRunner().invoke(app, ["sweep", str(path), "-o", str(folder), "--trials", "50"])
    assert result.exit_code == 130
    assert f"To go on: hgq2 sweep -o {folder} --trials 50" in result.output.replace("\n", "")


def test_an_objective_must_be_one_of_the_trainings_metrics(tmp_path):
    with pytest.raises(ConfigError, match=r"'val_acuracy'\. Allowed: ebops, val_accuracy, val_loss\. Did you"):
        check_sweep(make_sweep(tmp_path, objectives=["val_acuracy", "ebops"]))


def test_a_sweep_trains(tmp_path):
    document = sweep_document(space={UNITS: SPACE[UNITS]})
    del document["training"]
    sweep = load_sweep(write(tmp_path / "sweep.yaml", document))
    with pytest.raises(ConfigError, match="training: is missing; a sweep trains"):
        check_sweep(sweep)


@pytest.mark.parametrize(("version", "received"), [("4.9", "Received: 4.9."), (None, "It is not installed.")])
def test_an_optuna_that_is_missing_or_old_is_named_before_anything_is_written(tmp_path, monkeypatch, version, received):
    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    sweep = make_sweep(tmp_path)
    monkeypatch.setattr(metadata, "version", installed)
    message = re.escape(f"sweep: needs Optuna 5.0 or later. {received} pip install 'hgq2-training[sweep]'")
    with pytest.raises(ConfigError, match=message):
        run_sweep(sweep, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("kind", ["submitit", "ray"])
def test_a_runner_that_is_not_installed_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    runner = make_sweep(tmp_path, runner=kind).section.runner
    with pytest.raises(ConfigError, match=rf"sweep\.runner: .* pip install 'hgq2-training\[{kind}\]'"):
        runner.make(tmp_path, 1)


def test_what_submitit_refuses_is_named(tmp_path):
    pytest.importorskip("submitit", reason="submitit is optional")
    runner = {"kind": "submitit", "cluster": "local", "parameters": {"timeout": 3}}
    with pytest.raises(ConfigError, match=r"sweep\.runner: submitit refuses it\. .*timeout"):
        make_sweep(tmp_path, runner=runner).section.runner.make(tmp_path, 1)


def test_a_config_without_the_section_is_no_sweep_file(tmp_path):
    with pytest.raises(ConfigError, match="sweep: is missing; it says what to try, and what for"):
        load_sweep(write(tmp_path / "model.yaml", MODEL))


def test_the_json_schema_of_sweep_files_accepts_what_is_valid_and_nothing_else():
    jsonschema = pytest.importorskip("jsonschema")
    result = CliRunner().invoke(app, ["schema", "--command", "sweep"])
    assert result.exit_code == 0, result.output
    validator = jsonschema.Draft202012Validator(json.loads(result.stdout))
    valid = [
        sweep_document(),
        sweep_document(objectives="val_accuracy"),
        sweep_document(runner="ray"),
        sweep_document(runner={"kind": "submitit", "cluster": "local"}),
        {"base": "digits.yaml", "sweep": sweep_document()["sweep"]},
    ]
    assert [list(validator.iter_errors(each)) for each in valid] == [[]] * len(valid)
    wrong = [
        sweep_document(trails=3),
        sweep_document(runner="rays"),
        {"sweep": sweep_document()["sweep"]},  # no model
        {"base": "digits.yaml"},
    ]
    assert all(list(validator.iter_errors(each)) for each in wrong)


def test_a_command_without_files_has_no_schema():
    result = CliRunner().invoke(app, ["schema", "--command", "verify"])
    message = "error: schema: the command has no files with a schema. Received: 'verify'."
    assert (result.exit_code, " ".join(result.output.split())) == (2, message)
