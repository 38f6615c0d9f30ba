"""Ends of a training by conditions on the logs, and early stopping among cheap models only."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hgq2_core import ModelConfig
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.testing import callback_checks, parametrize_with_checks
from hgq2_training import BetaSchedule, resume, train
from hgq2_training.callbacks.stopping import EarlyStopping, StopIf
from hgq2_training.runs.directory import is_unbegun

CHEAP = {"metric": "ebops", "below": 5000}


def document(**training: Any) -> dict[str, Any]:
    return {
        "model": {"inputs": {"pixels": {"shape": [64]}}, "layers": [{"kind": "dense", "name": "logits", "units": 10}]},
        "data": {"kind": "digits"},
        "training": {
            "optimizer": "adam",
            "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
            **{"metrics": ["accuracy"], "epochs": 4, "batch_size": 512, **training},
        },
    }


def stopped_after(callback: Any, *logs: dict[str, float]) -> int | None:
    """Return the number of epochs after which a callback stops a training; None if it does not."""
    model = SimpleNamespace(stop_training=False, get_weights=list, set_weights=lambda weights: None)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, each in enumerate(logs):
        callback.on_epoch_end(epoch, each)
        if model.stop_training:
            return epoch + 1
    return None


def costs(*values: float) -> list[dict[str, float]]:
    return [{"ebops": value} for value in values]


def test_a_condition_must_hold_for_its_epochs_in_a_row() -> None:
    condition = {**CHEAP, "for_epochs": 2}
    assert stopped_after(StopIf(condition), *costs(9000, 4000, 6000, 4000, 3000, 2000)) == 5
    assert stopped_after(StopIf(condition), *costs(9000, 4000, 6000)) is None
    assert stopped_after(StopIf(CHEAP), *costs(5000, 4999)) == 2


def test_of_a_list_all_conditions_must_hold() -> None:
    callback = StopIf([CHEAP, {"metric": "accuracy", "above": 0.9}])
    logs = [{"ebops": 4000, "accuracy": 0.8}, {"ebops": 6000, "accuracy": 0.95}, {"ebops": 4000, "accuracy": 0.95}]
    assert stopped_after(callback, *logs) == 3
    assert callback.reason == "after epoch 3: ebops below 5,000 for 1 epoch and accuracy above 0.9 for 1 epoch"


def test_what_is_not_a_number_holds_nothing() -> None:
    assert stopped_after(StopIf(CHEAP), {"ebops": float("nan")}) is None
    assert stopped_after(StopIf({"metric": "ebops", "above": 1}), {"ebops": float("nan")}) is None


def test_a_resumed_training_continues_the_counts() -> None:
    before, after = StopIf({**CHEAP, "for_epochs": 3}), StopIf({**CHEAP, "for_epochs": 3})
    assert stopped_after(before, *costs(4000, 4000)) is None
    after.set_state(json.loads(json.dumps(before.get_state())))
    after.on_train_begin()
    assert after.get_state()["epochs"] == [2]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"metric": "ebops"}, r"training.stop_if: needs either `below` or `above`. Received: neither."),
        ({**CHEAP, "above": 1}, r"needs either `below` or `above`. Received: below: 5000, above: 1."),
        ([], r"training.stop_if: must be a list of at least 1 item. Received: \[\]."),
        ([{"metric": "ebops", "beloww": 1}], r"training.stop_if.0: unknown field 'beloww'.* Did you mean 'below'\?"),
        ({**CHEAP, "for_epochs": 0}, r"training.stop_if.for_epochs: must be greater than or equal to 1"),
    ],
)
def test_a_wrong_condition_is_named(condition: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig.parse(document(stop_if=condition))


def test_a_metric_that_is_not_logged_is_named_before_training(tmp_path: Path) -> None:
    wrong = ModelConfig.parse(document(stop_if=[CHEAP, {"metric": "val_acuracy", "above": 0.9}]))
    with pytest.raises(ConfigError, match=r"training.stop_if.1.metric: no such name.*Did you mean 'val_accuracy'\?"):
        train(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_says_why_it_was_stopped(tmp_path: Path) -> None:
    run = train(
        ModelConfig.parse(document(stop_if={"metric": "ebops", "below": 1e9, "for_epochs": 2})), tmp_path / "run"
    )
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 2
    assert run.metrics["stopped"] == "after epoch 2: ebops below 1e+09 for 2 epochs"


def test_early_stopping_looks_at_no_epoch_that_is_too_expensive() -> None:
    logs = [
        {"val_accuracy": accuracy, "ebops": cost}
        for accuracy, cost in ((0.99, 9000), (0.98, 8000), (0.9, 4000), (0.8, 4000), (0.7, 9000), (0.85, 3000))
    ]
    gated = EarlyStopping(CHEAP, monitor="val_accuracy", patience=2)  # type: ignore[arg-type]
    assert stopped_after(gated, *logs) == 6
    assert (gated.best, gated.best_epoch) == (0.9, 2)


def test_early_stopping_tells_a_direction_by_the_name_of_any_metric() -> None:
    gated = EarlyStopping(CHEAP, monitor="val_purity", patience=1)  # type: ignore[arg-type]
    logs = [{"val_purity": value, "ebops": 1.0} for value in (0.5, 0.6, 0.4)]
    assert stopped_after(gated, *logs) == 3
    assert gated.best == 0.6


@parametrize_with_checks(callback_checks({"kind": "training.early_stopping", "when": [CHEAP]}))
def test_early_stopping_keeps_the_rules_of_callbacks(check: Any) -> None:
    check()


def by_function() -> BetaSchedule:
    return BetaSchedule.from_function(lambda epoch: 1e-6 * (epoch + 1))


@pytest.mark.slow
def test_a_run_with_a_function_says_that_its_config_cannot_rebuild_it(tmp_path: Path) -> None:
    run = train(ModelConfig.parse(document(epochs=2)), tmp_path / "run", callbacks=[by_function()])
    assert run.metrics["not_in_config"] == ["BetaSchedule by a Python function"]
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert text.startswith("# This config cannot rebuild the run, which also has BetaSchedule by a Python function.\n")
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [each["ebops_beta"] for each in history] == [1e-6, 2e-6]
    with pytest.raises(ConfigError, match=r"was trained with BetaSchedule by a Python function. Received: nothing"):
        resume(tmp_path / "run", epochs=3)
    assert (tmp_path / "run" / "metrics.json").is_file()
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 2
    longer = resume(tmp_path / "run", epochs=3, callbacks=[by_function()])
    assert longer.metrics["not_in_config"] == ["BetaSchedule by a Python function"]
    assert not is_unbegun(tmp_path / "run")


def test_a_function_and_a_budget_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.budget: sets the price of bits itself"):
        train(ModelConfig.parse(document(budget={"ebops": 100})), tmp_path / "run", callbacks=[by_function()])


@pytest.mark.slow
def test_a_budget_that_was_not_reached_says_that_the_training_was_stopped(tmp_path: Path) -> None:
    stopped = document(budget={"ebops": 100}, stop_if={"metric": "ebops", "above": 0})
    with pytest.raises(BudgetError, match=r"The training was stopped before its last epochs"):
        train(ModelConfig.parse(stopped), tmp_path / "run")
