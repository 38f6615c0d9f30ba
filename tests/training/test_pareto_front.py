"""The Pareto front as a set, and the callback that keeps its models without touching the training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import ConfigError, ModelFileError
from hgq2_core.schema.signature import schema_of
from hgq2_training import ParetoFront
from hgq2_training.callbacks import epochs as callbacks
from hgq2_training.callbacks import pareto_front, throttle
from hgq2_training.callbacks.epochs import EbopsLog
from hgq2_training.callbacks.front import Entry, Front, direction_of

METRICS = ["val_accuracy", "ebops"]


def entry(accuracy: float, cost: float, epoch: int = 0) -> Entry:
    return Entry(epoch, {"val_accuracy": accuracy, "ebops": cost})


def members(front: Front) -> list[tuple[float, ...]]:
    return [tuple(item.metrics.values()) for item in front.entries]


# --- the front -------------------------------------------------------------------------------------------------------


def test_a_better_entry_takes_the_place_of_those_it_beats() -> None:
    front = Front(METRICS)
    assert [front.offer(e) for e in (entry(0.8, 100), entry(0.9, 200), entry(0.7, 150), entry(0.9, 90))] == [
        True,
        True,
        False,
        True,
    ]
    assert members(front) == [(0.9, 90)]


def test_fault_15_ties_are_dominated_too() -> None:
    """docs/numerics.md#9.15: points that are equal in one metric and worse in the other were kept."""
    front = Front(METRICS)
    assert front.offer(entry(0.9, 100))
    assert not front.offer(entry(0.9, 120))
    assert not front.offer(entry(0.8, 100))
    assert front.offer(entry(0.9, 80))
    assert front.offer(entry(0.95, 90))
    assert front.offer(entry(0.95, 80))
    assert members(front) == [(0.95, 80)]


def test_an_equal_entry_is_not_kept_twice_the_first_stays() -> None:
    front = Front(METRICS)
    assert front.offer(entry(0.9, 100, epoch=1))
    assert not front.offer(entry(0.9, 100, epoch=2))
    assert [item.epoch for item in front.entries] == [1]


small = st.integers(0, 4).map(float)


@given(points=st.lists(st.tuples(small, small, small), max_size=25))
def test_the_front_is_what_brute_force_finds(points: list[tuple[float, float, float]]) -> None:
    names = ["accuracy", "ebops", "loss"]
    front = Front(names)
    for epoch, point in enumerate(points):
        taken = front.offer(Entry(epoch, dict(zip(names, point, strict=True))))
        assert taken == any(item.epoch == epoch for item in front.entries)

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    assert len(members(front)) == len(set(members(front)))
    assert not any(beats(a, b) for a in members(front) for b in members(front))
    assert set(members(front)) == {p for p in points if not any(beats(q, p) for q in points)}
    assert all(points.index(tuple(item.metrics.values())) == item.epoch for item in front.entries)


@given(points=st.lists(st.tuples(small, small), min_size=1, max_size=25), keep=st.integers(1, 6))
def test_a_limited_front_is_a_small_part_without_dominated_members(
    points: list[tuple[float, float]], keep: int
) -> None:
    front, everything = Front(METRICS, keep=keep), Front(METRICS)
    for point in points:
        front.offer(entry(*point))
        everything.offer(entry(*point))
    assert 1 <= len(front) <= keep
    if len(everything) <= keep and len({*points}) <= keep:
        assert members(front) == members(everything)
    if keep >= 3:
        assert max(members(everything)) in members(front)
        assert min(members(everything), key=lambda point: point[1]) in members(front)


def test_beyond_its_limit_the_front_gives_up_the_most_crowded_entry() -> None:
    front = Front(METRICS, keep=3)
    assert [front.offer(entry(a, c)) for a, c in ((0.1, 10), (0.9, 90), (0.5, 50))] == [True, True, True]
    assert not front.offer(entry(0.11, 11))
    assert front.offer(entry(0.95, 100))
    assert members(front) == [(0.1, 10), (0.5, 50), (0.95, 100)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_entry_that_cannot_be_ranked_is_refused(bad: float) -> None:
    front = Front(METRICS)
    assert not front.offer(entry(bad, 1.0))
    assert not front.offer(entry(1.0, bad))


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("ebops", "min"),
        ("val_loss", "min"),
        ("mean_squared_error", "min"),
        ("val_mae", "min"),
        ("sparse_categorical_crossentropy", "min"),
        ("val_accuracy", "max"),
        ("auc", "max"),
    ],
)
def test_directions_follow_from_names(metric: str, direction: str) -> None:
    assert direction_of(metric) == direction
    assert Front([metric]).directions == {metric: direction}


def test_a_direction_can_be_given() -> None:
    front = Front(["latency"], directions={"latency": "min"})
    assert [front.offer(Entry(0, {"latency": value})) for value in (3.0, 4.0, 2.0)] == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": []}, "one metric or more"),
        ({"metrics": ["a", "a"]}, r"each once. Received: metrics=\['a', 'a'\]"),
        ({"metrics": ["ebops"], "directions": {"ebop": "min"}}, "not among the metrics: ebops. Did you mean 'ebops'"),
        ({"metrics": ["ebops"], "directions": {"ebops": "down"}}, "min or max. Received: ebops='down'"),
        ({"metrics": ["ebops"], "keep": 0}, "`keep` must be at least 1"),
    ],
)
def test_a_front_that_makes_no_sense_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Front(**arguments)


def test_an_entry_without_a_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"No value for ebops. Received: val_accuracy"):
        Front(METRICS).offer(Entry(0, {"val_accuracy": 1.0}))


def test_to_dict_is_plain_data() -> None:
    front = Front(METRICS)
    front.offer(entry(0.5, 10.0, epoch=3))
    assert front.to_dict() == {
        "directions": {"val_accuracy": "max", "ebops": "min"},
        "entries": [{"epoch": 3, "metrics": {"val_accuracy": 0.5, "ebops": 10.0}}],
    }


# --- the callback ----------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int64")
VALIDATION = (X[:16], Y[:16])


class Scripted:
    """Stands for calibration and cost: marks the model while it is measured, and gives scripted EBOPs."""

    def __init__(self, costs: list[float]) -> None:
        self.costs = iter(costs)
        self.calibrated: list[tuple[int, int]] = []

    def calibrate(self, model: keras.Model, x: Any, margin: int = 0) -> None:
        self.calibrated.append((len(x), margin))
        model.layers[-1].bias.assign([7.0, -7.0])

    def ebops(self, model: keras.Model) -> float:
        return next(self.costs)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scripted]:
    def use(*costs: float) -> Scripted:
        fake = Scripted(list(costs))
        monkeypatch.setattr(pareto_front, "calibrate", fake.calibrate)
        monkeypatch.setattr(pareto_front, "ebops", fake.ebops)
        return fake

    return use


def network(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, **options: Any) -> dict[str, list[float]]:
    options = {"epochs": 3, "batch_size": 16, "verbose": 0} | options
    return dict(model.fit(X, Y, callbacks=list(callbacks), **options).history)


def callback(directory: Path | None, metrics: list[str] = METRICS, **options: Any) -> ParetoFront:
    options = {"calibration_data": X, "validation_data": VALIDATION} | options
    return ParetoFront(metrics, None if directory is None else str(directory), **options)


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_models_of_the_front_and_their_list_are_in_the_directory(
    tmp_path: Path, script: Callable[..., Scripted]
) -> None:
    fake = script(50.0, 40.0, 60.0)
    history = fit(network(), callback(tmp_path, ["ebops"]))
    assert files(tmp_path) == ["epoch_0001.keras", "front.json"]
    assert json.loads((tmp_path / "front.json").read_text()) == {
        "directions": {"ebops": "min"},
        "entries": [{"epoch": 1, "metrics": {"ebops": 40.0}, "file": "epoch_0001.keras"}],
    }
    assert history["front"] == [1, 1, 1]
    assert fake.calibrated == [(48, 0)] * 3


def test_a_saved_model_is_the_calibrated_one_that_was_measured(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    script(1.0)
    front = callback(tmp_path)
    fit(network(), front, epochs=1)
    loaded = keras.saving.load_model(tmp_path / "epoch_0000.keras")
    assert keras.ops.convert_to_numpy(loaded.layers[-1].bias).tolist() == [7.0, -7.0]
    measured = loaded.evaluate(*VALIDATION, verbose=0, return_dict=True)["accuracy"]
    assert front.front.entries[0].metrics["val_accuracy"] == measured == np.mean(VALIDATION[1] == 0)


def test_training_goes_on_as_if_nothing_had_happened(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    plain = network()
    expected = fit(plain, epochs=4, validation_data=VALIDATION)
    script(4.0, 3.0, 2.0, 1.0)
    watched = network()
    found = fit(watched, callback(tmp_path, ["val_accuracy", "loss", "ebops"]), epochs=4, validation_data=VALIDATION)
    assert {name: found[name] for name in expected} == expected
    for a, b in zip(plain.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    for a, b in zip(plain.optimizer.variables, watched.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))


def test_an_error_while_measuring_puts_the_model_back_too(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    model = network()
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    state = random.getstate()
    script()
    front = callback(tmp_path, ["ebops"])
    front.set_model(model)
    front.on_train_begin()
    front.on_epoch_begin(0)
    with pytest.raises(StopIteration):
        front.on_epoch_end(0, {})
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert random.getstate() == state


def test_a_failed_save_leaves_list_and_models_as_they_were(
    tmp_path: Path, script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "SHARE", 1.0)  # every epoch is written
    script(2.0, 1.0)
    model = network()
    front = callback(tmp_path, ["ebops"])
    fit(model, front, epochs=1)
    listed = (tmp_path / "front.json").read_text()

    def fail(path: Path) -> None:
        path.write_text("half a model")
        raise OSError("disk full")

    monkeypatch.setattr(model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        front.on_epoch_end(1, {})
    assert files(tmp_path) == ["epoch_0000.keras", "front.json"]
    assert (tmp_path / "front.json").read_text() == listed
    monkeypatch.undo()
    front.flush()  # as with the next checkpoint
    assert files(tmp_path) == ["epoch_0001.keras", "front.json"]


class Watch(keras.callbacks.Callback):
    """Note the files of a front at the end of every epoch."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.seen: list[list[str]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(files(self.directory))


def state_in(path: Path) -> list[Any]:
    model = keras.saving.load_model(path)
    return [keras.ops.convert_to_numpy(each).tolist() for each in (*model.weights, *model.optimizer.variables)]


def test_models_of_short_epochs_are_written_later_and_are_the_same(
    tmp_path: Path, script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for name, share in (("late", 1e-9), ("at_once", 1.0)):
        monkeypatch.setattr(throttle, "SHARE", share)
        score = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=epoch))
        watch = Watch(tmp_path / name)
        script(1.0, 5.0, 4.0, 3.0, 6.0)
        fit(network(), score, callback(tmp_path / name, ["score", "ebops"]), watch, epochs=5)
        seen[name] = watch.seen
    assert seen["late"] == [["epoch_0000.keras", "front.json"]] * 5
    assert [len(each) - 1 for each in seen["at_once"]] == [1, 2, 2, 2, 3]
    written = files(tmp_path / "late")
    assert written == files(tmp_path / "at_once") == [*(f"epoch_{each:04}.keras" for each in (0, 3, 4)), "front.json"]
    assert (tmp_path / "late" / "front.json").read_text() == (tmp_path / "at_once" / "front.json").read_text()
    for each in written[:-1]:
        assert state_in(tmp_path / "late" / each) == state_in(tmp_path / "at_once" / each)


def test_models_that_are_large_do_not_wait(
    tmp_path: Path, script: Callable[..., Scripted], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "SHARE", 1e-9)
    monkeypatch.setattr(pareto_front, "MOST_WAITING", 1)
    script(3.0, 2.0, 1.0)
    watch = Watch(tmp_path)
    fit(network(), callback(tmp_path, ["ebops"]), watch)
    assert watch.seen == [[f"epoch_{each:04}.keras", "front.json"] for each in range(3)]


def test_only_the_epochs_that_are_asked_for_are_measured(script: Callable[..., Scripted]) -> None:
    fake = script(3.0, 2.0, 1.0)
    front = callback(None, ["ebops"], every=3, start_epoch=2)
    history = fit(network(), front, epochs=9)
    assert len(fake.calibrated) == 3
    assert [item.epoch for item in front.front.entries] == [8]
    assert history["front"] == [0, 0, 1, 1, 1, 1, 1, 1, 1]


def test_no_more_than_keep_models_stay(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    script(*range(10, 16))
    scores = iter(range(6))
    score = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=next(scores)))
    fit(network(), score, callback(tmp_path, ["score", "ebops"], keep=3), epochs=6)
    listed = [item["file"] for item in json.loads((tmp_path / "front.json").read_text())["entries"]]
    assert len(listed) == 3
    assert files(tmp_path) == [*sorted(listed), "front.json"]
    assert {"epoch_0000.keras", "epoch_0005.keras"} < set(listed)


def test_metrics_come_from_validation_from_the_logs_or_from_the_cost(script: Callable[..., Scripted]) -> None:
    script(5.0)
    front = callback(None, ["val_loss", "loss", "extra", "ebops"], directions={"extra": "max"})
    extra = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=0.5, val_loss=99.0))
    history = fit(network(), extra, front, epochs=1)
    found = front.front.entries[0].metrics
    assert (found["loss"], found["extra"], found["ebops"]) == (history["loss"][0], 0.5, 5.0)
    assert found["val_loss"] < 99  # measured on the calibrated model, not read from the logs


def test_a_resumed_run_goes_on_with_the_front_before_its_first_epoch(
    tmp_path: Path, script: Callable[..., Scripted]
) -> None:
    scores = iter([1, 2, 3, 3, 4])
    score = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(score=next(scores)))
    script(10.0, 20.0, 30.0)
    fit(network(), score, callback(tmp_path, ["score", "ebops"]), epochs=3)
    assert files(tmp_path) == ["epoch_0000.keras", "epoch_0001.keras", "epoch_0002.keras", "front.json"]
    script(15.0, 40.0)
    resumed = callback(tmp_path, ["score", "ebops"])
    fit(network(), score, resumed, epochs=4, initial_epoch=2)
    assert [(item.epoch, item.metrics["ebops"]) for item in resumed.front.entries] == [(0, 10.0), (2, 15.0), (3, 40.0)]
    assert files(tmp_path) == ["epoch_0000.keras", "epoch_0002.keras", "epoch_0003.keras", "front.json"]


def test_a_run_from_the_beginning_replaces_the_front_that_is_there(
    tmp_path: Path, script: Callable[..., Scripted]
) -> None:
    script(3.0, 2.0)
    fit(network(), callback(tmp_path, ["ebops"]), epochs=2)
    (tmp_path / "notes.txt").write_text("mine")
    script(9.0)
    fit(network(), callback(tmp_path, ["val_accuracy", "ebops"]), epochs=1)
    assert files(tmp_path) == ["epoch_0000.keras", "front.json", "notes.txt"]


def test_a_front_of_other_metrics_cannot_be_gone_on_with(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    script(3.0)
    fit(network(), callback(tmp_path, ["ebops"]), epochs=1)
    with pytest.raises(ConfigError, match="which this run cannot continue"):
        fit(network(), callback(tmp_path, ["loss"]), epochs=2, initial_epoch=1)


@pytest.mark.parametrize("content", ["{", "[]", '{"entries": [{"epoch": "x"}]}'])
def test_a_list_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "front.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"front.json cannot be read as a Pareto front"):
        fit(network(), callback(tmp_path, ["ebops"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration_data": None}, "pass `calibration_data`"),
        ({"validation_data": None}, "measures val_accuracy on validation data: pass `validation_data`"),
        (
            {"metrics": ["val_acuracy"]},
            "no metric 'val_acuracy'; available: val_accuracy, val_loss. Did you mean 'val_a",
        ),
    ],
)
def test_what_is_missing_is_said_before_the_first_epoch(options: dict[str, Any], message: str) -> None:
    epochs: list[int] = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epochs.append(epoch))
    with pytest.raises(ConfigError, match=message):
        fit(network(), count, callback(None, **options))
    assert epochs == []


def test_a_metric_that_no_epoch_has_names_those_it_has(script: Callable[..., Scripted]) -> None:
    script(1.0)
    with pytest.raises(ConfigError, match=r"no metric 'acuracy'; available: accuracy, ebops, loss. Did you mean 'acc"):
        fit(network(), callback(None, ["acuracy", "ebops"]), epochs=1)


def test_a_runner_hands_over_directory_and_data(tmp_path: Path, script: Callable[..., Scripted]) -> None:
    fake = script(1.0)
    front = ParetoFront()
    front.bind(tmp_path / "front", Splits(Split(X[16:], Y[16:]), Split(X, Y), Split(*VALIDATION)))
    fit(network(), front, epochs=1)
    assert files(tmp_path / "front") == ["epoch_0000.keras", "front.json"]
    assert fake.calibrated == [(32, 0)]


def test_what_the_user_passed_is_kept_by_bind(tmp_path: Path) -> None:
    front = callback(tmp_path / "mine")
    front.bind(tmp_path / "front", Splits(Split(X[16:], Y[16:]), Split(X, Y)))
    assert front.directory == str(tmp_path / "mine")
    assert front.calibration_data is X
    assert front.validation_data is VALIDATION


def test_the_configuration_has_everything_but_the_data() -> None:
    schema = schema_of(ParetoFront)
    assert list(schema.model_fields) == ["metrics", "directory", "every", "start_epoch", "keep", "directions"]
    for bad in ({"every": 0}, {"keep": 0}, {"start_epoch": -1}, {"directions": {"x": "up"}}, {"every": "2"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            schema(**bad)


@pytest.mark.parametrize("arguments", [{"every": 0}, {"start_epoch": -1}, {"keep": 0}, {"metrics": []}])
def test_numbers_are_checked_without_a_configuration_too(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ParetoFront(**arguments)


def test_ebops_are_logged_for_the_callbacks_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = iter([8.0, 4.0])
    monkeypatch.setattr(callbacks, "ebops", lambda model: next(costs))
    seen: list[float] = []
    follow = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["ebops"]))
    assert fit(network(), EbopsLog(), follow, epochs=2)["ebops"] == seen == [8.0, 4.0]
