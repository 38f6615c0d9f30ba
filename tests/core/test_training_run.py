"""Runs that are stopped and resumed end like uninterrupted ones."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from selection import slow
from training_runs import DOCUMENT, config, everything

from hgq2_core import ConfigError, DataError, ModelFileError, WriteError
from hgq2_core.config.model import ModelConfig, load_config
from hgq2_training.callbacks import checkpoint, throttle
from hgq2_training.callbacks.checkpoint import Checkpoint
from hgq2_training.runs import results
from hgq2_training.runs import train as training_run
from hgq2_training.runs.directory import load, load_checkpoint, locked
from hgq2_training.runs.train import resume, train


class Stop(keras.callbacks.Callback):
    """Raises in an epoch: after a batch, or at its beginning or end."""

    def __init__(self, epoch: int, moment: str | int = "end", error: BaseException | None = None) -> None:
        super().__init__()
        self.at = epoch
        self.moment = moment
        self.error = error or KeyboardInterrupt()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self._perhaps("begin")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._perhaps(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._perhaps("end")

    def _perhaps(self, moment: str | int) -> None:
        if (self.epoch, moment) == (self.at, self.moment):
            raise self.error


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error stops everything at once, as a lost process would."""
    monkeypatch.setattr(training_run, "_save_last_epoch", lambda *arguments: None)


@pytest.fixture
def each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No epoch is too short to be written."""
    monkeypatch.setattr(throttle, "SHARE", 1.0)


def stopped(directory: Path, *where: Any, begin: Callable[..., Any] = train, **training: Any) -> None:
    first = () if begin is resume else (config(**training),)
    with pytest.raises(KeyboardInterrupt):
        begin(*((directory,) if begin is resume else (*first, directory)), callbacks=[Stop(*where)])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What an undisturbed run leaves; each config is trained once."""
    known: dict[str, dict[str, Any]] = {}

    def run(**training: Any) -> dict[str, Any]:
        key = json.dumps(training, sort_keys=True)
        if key not in known:
            directory = tmp_path_factory.mktemp("undisturbed") / "run"
            train(config(**training), directory)
            known[key] = everything(directory)
        return known[key]

    return run


# --- the same result -------------------------------------------------------------------------------------------------


def test_the_training_has_what_could_go_wrong(undisturbed: Any) -> None:
    found = undisturbed()
    history = json.loads(found["history.json"])
    assert len({logs["loss"] for logs in history}) == len(history) == 7
    assert len({logs["ebops_beta"] for logs in history}) == 5
    front = json.loads(found["front/front.json"])
    assert len(front["entries"]) == 2
    assert max(entry["epoch"] for entry in front["entries"]) > 0


@pytest.mark.parametrize(
    "where", [*map(slow, ((0, "begin"), (0, 1), (0, "end"), (2, 0), (3, "end"), (6, "end"))), (5, 2)], ids=str
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(where: Any, tmp_path: Path, undisturbed: Any) -> None:
    stopped(tmp_path / "run", *where)
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "model.keras").exists() == (where[0] > 0 or where[1] == "end")
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed()


@pytest.mark.parametrize(
    ("epoch", "every"),
    [(4, 3) if (epoch, every) == (4, 3) else slow(epoch, every) for epoch in range(7) for every in (1, 3)],
)
def test_a_killed_run_goes_on_from_the_last_checkpoint_on_disk(
    epoch: int, every: int, tmp_path: Path, undisturbed: Any, killed: None, each_epoch: None
) -> None:
    stopped(tmp_path / "run", epoch, 1, checkpoint_every=every)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert (checkpoint.epoch if checkpoint else 0) == epoch // every * every
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed(checkpoint_every=every)


@pytest.mark.slow
def test_a_run_may_be_stopped_as_often_as_one_likes(tmp_path: Path, undisturbed: Any) -> None:
    stopped(tmp_path / "run", 1, 0)
    for where in ((1, 2), (4, "end"), (5, "begin"), (6, 1)):
        stopped(tmp_path / "run", *where, begin=resume)
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed()


def test_a_run_that_is_killed_while_it_is_finished(
    tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("calibrate", "freeze", "verify", "contents_of"):
        with monkeypatch.context() as patch:
            patch.setattr(results, step, lambda *arguments, **options: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                resume(tmp_path / "run") if (tmp_path / "run").exists() else train(config(), tmp_path / "run")
        assert not (tmp_path / "run" / "metrics.json").exists()
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed()


KERAS_CALLBACKS = [
    {"kind": "keras.ReduceLROnPlateau", "patience": 1, "factor": 0.5, "monitor": "val_loss", "min_delta": 0.05},
    {"kind": "keras.EarlyStopping", "patience": 2, "restore_best_weights": True, "min_delta": 0.1},
    {"kind": "pareto_front"},
]


STOPS_EARLY = {"kind": "adam", "learning_rate": 0.02, "bit_learning_rate_scale": 1.0}


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.slow
def test_keras_own_callbacks_go_on_too(epoch: int, tmp_path: Path, undisturbed: Any) -> None:
    training = {"callbacks": KERAS_CALLBACKS, "optimizer": STOPS_EARLY}
    expected = undisturbed(**training)
    history = json.loads(expected["history.json"])
    assert 4 <= len(history) < 7  # stopped early, with the weights of an earlier epoch
    assert expected["model.keras"] != expected["checkpoint.npz"][2]
    assert len({logs["learning_rate"] for logs in history}) > 1
    stopped(tmp_path / "run", epoch, 0, **training)
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == expected


def test_a_run_that_a_callback_ended_is_not_trained_further_before_it_is_finished(
    tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {"callbacks": KERAS_CALLBACKS, "optimizer": STOPS_EARLY}
    with monkeypatch.context() as patch:
        patch.setattr(
            training_run, "finalize_run", lambda *arguments, **options: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            train(config(**training), tmp_path / "run")
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed(**training)
    with pytest.raises(ConfigError, match="the run is finished; a callback ended it after"):
        resume(tmp_path / "run", epochs=100)


@pytest.mark.slow
def test_a_finished_run_can_be_trained_longer(tmp_path: Path, undisturbed: Any) -> None:
    train(config(), tmp_path / "run", epochs=3)
    assert load_config(tmp_path / "run" / "config.yaml").training.epochs == 3
    stopped(tmp_path / "run", 1, 0, begin=lambda *a, **k: resume(tmp_path / "run", epochs=7, callbacks=[Stop(4, 0)]))
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "frozen.keras").exists()
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed()


@pytest.mark.slow
def test_calibrating_an_interrupted_run_does_not_change_what_it_becomes(tmp_path: Path, undisturbed: Any) -> None:
    stopped(tmp_path / "run", 3, 1)
    results.recalibrate(tmp_path / "run", margin=1)
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == undisturbed()


def test_an_interrupted_run_has_the_model_of_its_last_whole_epoch(tmp_path: Path) -> None:
    stopped(tmp_path / "run", 3, 1)
    checkpoint = load_checkpoint(tmp_path / "run")
    model = load(tmp_path / "run")
    assert checkpoint.epoch == 3
    assert [logs["epoch"] for logs in json.loads((tmp_path / "run" / "history.json").read_text())] == [0, 1, 2]
    kept = dict(zip([variable.path for variable in model.variables], checkpoint.variables, strict=False))
    for weight in model.weights:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), kept[weight.path])
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 3 * 3


def test_the_seconds_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(tmp_path / "run", 0, "end")
    path = tmp_path / "run" / "checkpoint.npz"
    start = Checkpoint.read(path)
    Checkpoint(start.epoch, start.stopped, 1000.0, start.variables, start.callbacks).write(path)
    clock = itertools.chain([50.0], itertools.repeat(57.0))  # it begins at 50, and each epoch ends at 57
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert resume(tmp_path / "run").metrics["seconds"] == 1007.0


# --- what cannot be resumed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped after two epochs."""
    directory = tmp_path_factory.mktemp("short") / "run"
    stopped(directory, 1, "end")
    return directory


@pytest.fixture
def run(short: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(short, tmp_path / "run"))


def changed(**sections: Any) -> ModelConfig:
    return ModelConfig.parse({**DOCUMENT, **sections})


def test_the_same_config_is_accepted_complete_or_not(run: Path) -> None:
    resume(run, load_config(run / "config.yaml"), callbacks=())
    with pytest.raises(ConfigError, match="finished"):
        resume(run, config(checkpoint_every=2))
    resume(run, config(epochs=8))
    assert load_config(run / "config.yaml").training.epochs == 8


@pytest.mark.parametrize(
    "other, differences",
    [
        (lambda: config(batch_size=256), "training.batch_size: 512 before, 256 now."),
        (lambda: changed(seed=4), "seed: 3 before, 4 now."),
        (lambda: config(callbacks=[]), "training.callbacks: 2 entries before, [] now."),
        (
            lambda: changed(model={**DOCUMENT["model"], "layers": DOCUMENT["model"]["layers"][1:]}),
            "model.layers: 4 entries before, 3 entries now.",
        ),
        (
            lambda: changed(defaults={"activation": {**DOCUMENT["defaults"]["activation"], "f": 2}}),
            "model.layers.0.input_quantizer.f: 3.0 before, 2.0 now; model.layers.3.input_quantizer.f: 3.0 before, "
            "2.0 now; defaults.activation.f: 3.0 before, 2.0 now.",
        ),
        (
            lambda: changed(data={"kind": "digits", "seed": 1}, seed=4),
            "seed: 3 before, 4 now; data.seed: None before, 1 now.",
        ),
    ],
)  # fmt: skip
def test_another_config_is_refused_and_its_differences_named(other: Any, differences: str, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as error:
        resume(run, other())
    assert str(error.value) == (
        f"{run}: was started with another config. {differences} Resume with the same, in which only training.epochs, "
        "training.checkpoint_every, training.distribution may change, or train in a new directory."
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_finished_run_says_so(run: Path) -> None:
    resume(run, epochs=2)
    with pytest.raises(ConfigError) as error:
        resume(run)
    assert str(error.value) == f"{run}: the run is finished after 2 epochs. To train longer, give more: --epochs N."
    with pytest.raises(ConfigError) as error:
        resume(run, epochs=1)
    assert str(error.value) == f"{run}: 2 epochs are trained, and cannot be undone. Received: epochs=1."


def test_a_directory_that_is_no_run_is_named(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelFileError) as error:
            resume(directory)
        assert str(error.value) == f"{directory / 'config.yaml'}: no such file; {directory} is not a run directory."


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", "half"])
def test_a_damaged_checkpoint_is_named(content: Any, run: Path) -> None:
    path = run / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    with pytest.raises(ModelFileError, match=r"checkpoint.npz: is not a valid checkpoint. "):
        resume(run)


def test_a_checkpoint_of_another_model_is_named(run: Path) -> None:
    document = yaml.safe_load((run / "config.yaml").read_text())
    document["model"]["layers"][0]["units"] = 5
    (run / "config.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelFileError, match=r"checkpoint.npz: does not fit the model of the config"):
        resume(run)


def test_what_killed_processes_left_half_written_is_removed(run: Path) -> None:
    for folder in (run, run / "front"):
        (folder / ".model.0123abcd.partial.keras").write_text("half")
    (run / "front" / "epoch_0006.keras").write_text("not yet listed")
    resume(run, epochs=2)
    names = {path.name for path in run.rglob("*")}
    assert not any("partial" in name for name in names)
    assert "epoch_0006.keras" not in names


def test_a_new_run_may_begin_where_one_was_killed_before_it_had_a_config(tmp_path: Path) -> None:
    (tmp_path / ".config.0123abcd.partial.yaml").write_text("half")
    with pytest.raises(KeyboardInterrupt):
        train(config(), tmp_path, callbacks=[Stop(0, "begin")])
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "config.yaml", "data.json", "origin.json", "front"}


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_directory(run: Path, fresh_python: Any) -> None:
    script = f"""
        import json, pathlib
        from hgq2_core import ConfigError
        from hgq2_training.runs.train import resume
        try:
            resume(pathlib.Path({str(run)!r}))
        except ConfigError as error:
            print(json.dumps(str(error)))
    """
    with locked(run):
        message = fresh_python(script)
    assert message == f"{run}: another process trains here. Wait for its end, or stop it."
    resume(run)  # the lock is gone with its owner


def test_a_new_run_does_not_take_the_place_of_another(run: Path) -> None:
    with pytest.raises(ConfigError) as error:
        train(config(), run)
    assert str(error.value) == (
        f"{run}: exists and is not empty; a run needs a new directory, nothing is overwritten. "
        f"To resume the run in it: hgq2 train -o {run} --resume."
    )


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError) as error:
        train(config(), tmp_path / "file" / "run")
    assert str(error.value) == f"{tmp_path / 'file' / 'run'}: cannot be written. Not a directory"


def test_a_full_disk_stops_the_training_and_leaves_what_was_saved(
    run: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    before = (run / "checkpoint.npz").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        with pytest.raises(WriteError, match=r"checkpoint.npz: cannot be written. No space left on device"):
            resume(run)
    assert (run / "checkpoint.npz").read_bytes() == before
    resume(run)
    assert everything(run) == undisturbed()


def test_a_model_of_two_inputs_needs_data_of_two(tmp_path: Path) -> None:
    inputs = {"a": {"shape": [64]}, "b": {"shape": [64]}}
    layers = [{"kind": "keras.Concatenate", "inputs": ["a", "b"]}, {"kind": "dense", "units": 10}]
    with pytest.raises(DataError) as error:
        train(ModelConfig.parse({**DOCUMENT, "model": {"inputs": inputs, "layers": layers}}), tmp_path / "run")
    assert str(error.value) == "model.inputs: the data have one array of inputs, the model takes a, b."
