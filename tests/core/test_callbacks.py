"""The callbacks of every training: the cost in the logs, the seed of each epoch, the history, and the checkpoints."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from selection import few

from hgq2_core import ModelFileError, ebops
from hgq2_core.files import read_json
from hgq2_core.optimizer import BitOptimizer
from hgq2_core.schema.keras_objects import CALLBACKS, classes_by_name
from hgq2_layers import QDense
from hgq2_training.callbacks import history, throttle
from hgq2_training.callbacks.checkpoint import (
    KERAS_STATE,
    Checkpoint,
    Checkpoints,
    get_state,
    set_state,
    state_variables,
)
from hgq2_training.callbacks.epochs import EbopsLog, EpochSeed
from hgq2_training.callbacks.history import HistoryLog
from hgq2_training.callbacks.throttle import Throttle

X = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
Y = X[:, :1] - X[:, 1:2]


def network(optimizer: Any = "adam", **options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(1, **options) if options else QDense(1, ebops_beta=1e-3)
    model = keras.Sequential([keras.Input((4,)), QDense(3), keras.layers.Dropout(0.5, seed=3), dense])
    model.compile(optimizer, "mse")
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int = 3, done: int = 0) -> dict[str, Any]:
    options = {"epochs": epochs, "initial_epoch": done, "batch_size": 8, "verbose": 0}
    return dict(model.fit(X, Y, callbacks=list(callbacks), **options).history)


def values(model: keras.Model) -> list[Any]:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in state_variables(model)]


# --- EBOPs and seeds -------------------------------------------------------------------------------------------------


def test_the_logs_hold_the_ebops_of_the_model() -> None:
    model = network()
    assert fit(model, EbopsLog(), epochs=1)["ebops"] == [ebops(model)]


def draws() -> list[Any]:
    return [random.random(), np.random.random(), keras.random.uniform(()).item(), dropped()]


def dropped() -> list[Any]:
    layer = keras.layers.Dropout(0.5)
    return keras.ops.convert_to_numpy(layer(np.ones((8, 8)), training=True)).tolist()  # type: ignore[no-any-return]


def test_every_epoch_draws_by_its_number_whatever_was_drawn_before() -> None:
    seed = EpochSeed(5)
    seed.on_epoch_begin(3)
    expected = draws()
    seed.on_epoch_begin(4)
    assert all(a != b for a, b in zip(draws(), expected, strict=True))
    seed.on_epoch_begin(3)
    assert draws() == expected


def test_another_seed_draws_otherwise_and_the_largest_one_is_allowed() -> None:
    found = []
    for seed in (0, 1, (1 << 32) - 1):
        EpochSeed(seed).on_epoch_begin(7)
        found.append(draws())
    assert found[0] != found[1] != found[2]


# --- history ---------------------------------------------------------------------------------------------------------


def history_log(folder: Path) -> HistoryLog:
    """Return the callback of a model that has neither an optimizer nor quantized layers."""
    log = HistoryLog(folder / "history.json")
    log.set_model(keras.Sequential())
    return log


def test_the_history_is_on_disk_after_the_first_epoch_and_whole_at_the_end(tmp_path: Path) -> None:
    log = history_log(tmp_path)
    log.on_epoch_end(0, {"loss": np.float32(0.5), "ebops": 3})
    assert read_json(log.path, []) == [{"epoch": 0, "loss": 0.5, "ebops": 3.0}]
    log.on_epoch_end(1, {"loss": math.nan})
    log.on_epoch_end(2)
    log.on_train_end()
    assert read_json(log.path, []) == [
        {"epoch": 0, "loss": 0.5, "ebops": 3.0},
        {"epoch": 1, "loss": None},
        {"epoch": 2},
    ]


def test_a_history_goes_on_from_its_state_which_does_not_change(tmp_path: Path) -> None:
    log = history_log(tmp_path)
    log.on_epoch_end(0, {"loss": 0.5})
    state = log.get_state()
    log.on_epoch_end(1, {"loss": 0.25})
    assert state == [{"epoch": 0, "loss": 0.5}]
    again = history_log(tmp_path)
    again.set_state(state)
    again.on_epoch_end(1, {"loss": 0.25})
    assert again.epochs == log.epochs
    assert len(state) == 1


def test_short_epochs_do_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: clock[0])
    writes = []

    def slow(path: Path, epochs: list[Any]) -> None:
        writes.append((clock[0], len(epochs)))
        clock[0] += 1.0

    monkeypatch.setattr(history, "write_json", slow)
    log = history_log(tmp_path)
    for epoch in range(100):
        clock[0] += 1.0
        log.on_epoch_end(epoch)
    log.on_train_end()
    assert [count for _, count in writes] == [1, 50, 99, 100]  # 2 % of the time, and at the end


def test_a_pace_is_due_at_first_and_then_when_the_last_write_is_paid_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: clock[0])
    own = Throttle()
    assert own.ready()
    with own.writing():
        clock[0] += 2.0
    clock[0] += 2.0 / throttle.SHARE - 2.0 - 0.001
    assert not own.ready()
    clock[0] += 0.002
    assert own.ready()


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_survives_its_file(tmp_path: Path) -> None:
    weights = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((), np.int32)]
    states = [None, [], {"best": math.inf, "wait": np.int64(3), "weights": [np.eye(2), np.ones(1)]}, [{"a": math.nan}]]
    Checkpoint(3, True, 1.5, weights, states).write(tmp_path / "a.npz")
    found = Checkpoint.read(tmp_path / "a.npz")
    assert (found.epoch, found.stopped, found.seconds) == (3, True, 1.5)
    for a, b in zip(found.variables, weights, strict=True):
        assert a.dtype == b.dtype and a.tolist() == b.tolist() and a.shape == b.shape
    assert found.callbacks[:2] == [None, []]
    assert {**found.callbacks[2], "weights": None} == {"best": math.inf, "wait": 3, "weights": None}
    assert [array.tolist() for array in found.callbacks[2]["weights"]] == [[[1, 0], [0, 1]], [1]]
    assert math.isnan(found.callbacks[3][0]["a"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_state_that_is_no_plain_data_is_a_programming_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    Checkpoint(1, False, 0.0, [], []).write(tmp_path / "a.npz")
    with pytest.raises(TypeError, match="a callback's state is plain data and numpy arrays"):
        Checkpoint(2, False, 0.0, [], [object()]).write(tmp_path / "a.npz")
    assert Checkpoint.read(tmp_path / "a.npz").epoch == 1


def test_pickles_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", document=np.array([{}], dtype=object))
    with pytest.raises(ModelFileError, match=r"a.npz: is not a valid checkpoint"):
        Checkpoint.read(tmp_path / "a.npz")


OPTIMIZERS = sorted(classes_by_name("optimizers"))


def optimizers(name: str) -> Any:
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 4, 0.9)
    return BitOptimizer(classes_by_name("optimizers")[name](rate), 8.0)


@pytest.mark.parametrize("name", few(OPTIMIZERS, "adam", "muon"))
def test_every_optimizer_goes_on_where_it_stopped(name: str, tmp_path: Path) -> None:
    straight, path = network(optimizers(name)), tmp_path / "a.npz"
    fit(straight, EpochSeed(0), Checkpoints(path, []))
    fit(network(optimizers(name)), EpochSeed(0), Checkpoints(path, []), epochs=1)
    resumed = network(optimizers(name))
    fit(resumed, EpochSeed(0), Checkpoints(path, [], start=Checkpoint.read(path)), done=1)
    assert values(resumed) == values(straight)


def test_bfloat16_survives(tmp_path: Path) -> None:
    model, path = network(dtype="bfloat16"), tmp_path / "a.npz"
    fit(model, Checkpoints(path, []), epochs=1)
    again = network(dtype="bfloat16")
    start = Checkpoint.read(path)
    start.check(again, path)
    start.restore(again)
    assert values(again) == values(model)
    assert str(again.layers[-1].kernel.dtype) == "bfloat16"


def test_every_callback_of_keras_that_a_config_may_name_has_its_state_listed() -> None:
    # The state of the others follows from the epoch and the model, or is in their files.
    others = {"BackupAndRestore", "CSVLogger", "LearningRateScheduler", "SwapEMAWeights", "TensorBoard"}
    assert {each.__name__ for each in KERAS_STATE} == set(CALLBACKS) - others


def test_the_listed_state_is_all_that_training_changes(tmp_path: Path) -> None:
    for cls, names in KERAS_STATE.items():
        needed = [tmp_path / "best.keras"] if cls is keras.callbacks.ModelCheckpoint else []
        callback = cls(*needed, **{"monitor": "loss"} if names else {})
        model = network()
        callback.set_model(model)
        callback.on_train_begin()
        before = dict(vars(callback))
        fit(model, callback, epochs=2)
        # The direction and its sign follow from the metric anew, the epoch from that of the training.
        changed = {name for name, value in vars(callback).items() if before.get(name) is not value}
        assert changed - {"_current_epoch", "monitor_op", "min_delta", "params"} <= set(names)


def test_the_state_of_a_callback_without_any_is_none() -> None:
    callback = keras.callbacks.LambdaCallback()
    before = dict(vars(callback))
    assert get_state(callback) is None
    set_state(callback, None)
    assert vars(callback) == before


class Counting(keras.callbacks.Callback):
    """A third party's callback with state."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.count = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1

    def get_state(self) -> int:
        return self.count

    def set_state(self, state: int) -> None:
        self.count = state


def test_callbacks_go_on_with_their_state_after_they_began(tmp_path: Path) -> None:
    fit(network(), first := Counting(), Checkpoints(tmp_path / "a.npz", [first]))
    start = Checkpoint.read(tmp_path / "a.npz")
    assert start.callbacks == [3]
    fit(network(), second := Counting(), Checkpoints(tmp_path / "a.npz", [second], start=start), epochs=5, done=3)
    assert second.count == 5


def test_a_checkpoint_is_written_every_so_many_epochs_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "SHARE", 1.0)
    epochs = []
    monkeypatch.setattr(Checkpoint, "write", lambda self, path: epochs.append(self.epoch))
    fit(network(), Checkpoints(tmp_path / "a.npz", [], every=2), epochs=5)
    assert epochs == [2, 4, 5]


def test_a_checkpoint_knows_that_a_callback_ended_the_training(tmp_path: Path) -> None:
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True))
    fit(network(), stop, Checkpoints(tmp_path / "a.npz", []))
    found = Checkpoint.read(tmp_path / "a.npz")
    assert (found.epoch, found.stopped) == (1, True)


def test_what_is_kept_in_memory_does_not_change_with_the_model(tmp_path: Path) -> None:
    model = network()
    checkpoints = Checkpoints(tmp_path / "a.npz", [])
    fit(model, checkpoints, epochs=1)
    assert checkpoints.last is not None
    before = [value.tolist() for value in checkpoints.last.variables]
    assert before == values(model)
    fit(model, epochs=1)
    assert [value.tolist() for value in checkpoints.last.variables] == before != values(model)


def test_a_checkpoint_of_other_variables_is_refused(tmp_path: Path) -> None:
    fit(network(), Checkpoints(tmp_path / "a.npz", []), epochs=1)
    with pytest.raises(ModelFileError) as error:
        Checkpoint.read(tmp_path / "a.npz").check(network("sgd"), tmp_path / "a.npz")
    found, wanted = len(state_variables(network())), len(state_variables(network("sgd")))
    assert str(error.value) == (
        f"{tmp_path / 'a.npz'}: does not fit the model of the config. Received: {found} variables. Allowed: {wanted}, "
        "of the model's shapes. Was it written by other versions of the packages?"
    )


def test_a_file_of_json_must_hold_what_is_expected(tmp_path: Path) -> None:
    assert read_json(tmp_path / "a.json", []) == []
    (tmp_path / "a.json").write_text(json.dumps({}))
    with pytest.raises(ModelFileError, match=r"a.json: is damaged. Received: <class 'dict'>. Allowed: <class 'list'>."):
        read_json(tmp_path / "a.json", [])
