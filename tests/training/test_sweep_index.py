"""The study as an index of the trials' directories: what it asks and tells, what it survives, and how it is rebuilt."""

from __future__ import annotations

import json
import time

import pytest
from sweep_files import BETA, RATE, SPACE, UNITS, complete, fail, make_sweep

optuna = pytest.importorskip("optuna", minversion="5", reason="sweeps need Optuna 5")

from rich.console import Console  # noqa: E402

from hgq2_core.errors import ConfigError, ModelFileError  # noqa: E402
from hgq2_training.commands.sweep import _lines, front_table  # noqa: E402
from hgq2_training.sweeps.archive import archive  # noqa: E402
from hgq2_training.sweeps.index import DIED, Index  # noqa: E402
from hgq2_training.sweeps.journal import trim  # noqa: E402
from hgq2_training.sweeps.storage import JOURNAL, shown  # noqa: E402
from hgq2_training.sweeps.sweep import Progress, check_directory, row_to_dict, write_results  # noqa: E402
from hgq2_training.sweeps.trial import run_trial  # noqa: E402
from hgq2_training.sweeps.trial_directory import GIVEN_UP, trial_directories, trial_directory  # noqa: E402

pytestmark = pytest.mark.once


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "sweep"
    path.mkdir()
    return path


def states(index: Index) -> list[str]:
    return [row.state for row in index.rows()]


def facts(index: Index) -> list[tuple]:
    return [(row.number, row.state, row.params, row.values, row.feasible, row.note) for row in index.rows()]


# --- what a trial is asked for


def test_a_trial_gets_a_config_with_the_proposed_values(tmp_path, folder):
    index = Index(make_sweep(tmp_path), folder)
    directory = index.ask()
    request = directory.request
    assert directory.path == folder / "trial_0000"
    assert 0.001 <= request["params"][RATE] <= 0.1 and request["params"][UNITS] in (4, 6, 8)
    assert request["document"]["training"]["optimizer"]["learning_rate"] == request["params"][RATE]
    assert request["document"]["model"]["layers"][0]["units"] == request["params"][UNITS]
    assert request["document"]["seed"] == 3 and states(index) == ["running"]


def test_every_choice_is_trained_with_each_seed(tmp_path, folder):
    index = Index(make_sweep(tmp_path, seeds=3), folder)
    requests = [index.ask().request for _ in range(6)]
    assert [request["seed"] for request in requests] == [3, 4, 5] * 2
    assert [request["document"]["seed"] for request in requests] == [3, 4, 5] * 2
    params = [request["params"] for request in requests]
    assert params[0] == params[1] == params[2] != params[3] == params[4] == params[5]


def test_a_trial_that_is_begun_again_has_its_seeds_already(tmp_path, folder):
    index = Index(make_sweep(tmp_path, seeds=2), folder)
    index.tell(index.ask())
    seeds = [index.ask().request["seed"] for _ in range(2)]
    assert sorted(seeds) == [3, 4] and states(index) == ["died", "running", "running"]


def test_a_seed_in_the_space_is_that_of_the_trial(tmp_path, folder):
    index = Index(make_sweep(tmp_path, space={"seed": {"choices": [7]}}), folder)
    assert index.ask().request["document"]["seed"] == 7
    assert next(iter(index.rows())).seed == 7


def test_random_values_differ_after_a_restart(tmp_path, folder):
    sweep = make_sweep(tmp_path, sampler="random")
    first = [Index(sweep, folder).ask().request["params"] for _ in range(3)]
    assert len({json.dumps(each) for each in first}) == 3


# --- what it is told


def test_the_front_holds_what_no_other_trial_beats(tmp_path, folder):
    index = Index(make_sweep(tmp_path), folder)
    for accuracy, ebops in [(0.9, 2000.0), (0.8, 1000.0), (0.7, 1500.0)]:
        directory = index.ask()
        complete(directory, accuracy, ebops)
        index.tell(directory)
    assert [row.number for row in index.front()] == [1, 0]
    assert index.study.trials[0].values == [0.9, 2000.0]
    write_results(index)
    front, trials = (json.loads((folder / name).read_text()) for name in ("front.json", "trials.json"))
    assert [row["number"] for row in front] == [1, 0] and [row["state"] for row in trials] == ["complete"] * 3


def test_the_archive_has_the_best_models_of_the_trials_own_fronts(tmp_path, folder):
    index = Index(make_sweep(tmp_path, constraints={"ebops": {"at_most": 1500}}), folder)
    directory = index.ask()
    complete(directory, 0.9, 1200.0)
    index.tell(directory)
    points = [(0.8, 800.0), (0.9, 1300.0), (0.95, 2000.0)]  # the second is beaten by the trial's last model
    entries = [
        {"epoch": epoch, "metrics": {"val_accuracy": accuracy, "ebops": ebops}, "file": f"epoch_{epoch:04d}.keras"}
        for epoch, (accuracy, ebops) in enumerate(points)
    ]
    (directory.path / "front").mkdir()
    (directory.path / "front" / "front.json").write_text(json.dumps({"directions": {}, "entries": entries}))
    assert [(model.trial, model.front, model.values["ebops"]) for model in archive(index)] == [
        (0, 0, 800.0),
        (0, None, 1200.0),
    ]
    write_results(index)
    assert [each["front"] for each in json.loads((folder / "archive.json").read_text())] == [0, None]


def test_the_front_of_several_seeds_is_that_of_their_means(tmp_path, folder):
    index = Index(make_sweep(tmp_path, seeds=2, constraints={"ebops": {"at_most": 1500}}), folder)
    for accuracy, ebops in [(0.5, 1000.0), (0.75, 1800.0), (0.9, 1900.0), (0.9, 1900.0)]:
        directory = index.ask()
        complete(directory, accuracy, ebops)
        index.tell(directory)
    (row,) = index.front()
    assert row.values == {"val_accuracy": 0.625, "ebops": 1400.0} and row.number == 0
    assert row.deviations == {"val_accuracy": pytest.approx(0.125 * 2**0.5), "ebops": pytest.approx(400 * 2**0.5)}


def test_constraints_are_told_and_keep_trials_off_the_front(tmp_path, folder):
    bounds = {"ebops": {"at_most": 1500}, "val_accuracy": {"at_least": 0.75}}
    index = Index(make_sweep(tmp_path, constraints=bounds), folder)
    for accuracy, ebops in [(0.9, 2000.0), (0.8, 1000.0), (0.5, 500.0)]:
        directory = index.ask()
        complete(directory, accuracy, ebops)
        index.tell(directory)
    assert [row.number for row in index.front()] == [1]
    assert [trial.constraints for trial in index.study.trials] == [
        {"ebops": 500.0, "val_accuracy": 0.75 - 0.9},
        {"ebops": -500.0, "val_accuracy": 0.75 - 0.8},
        {"ebops": -1000.0, "val_accuracy": 0.25},
    ]


def test_a_trial_that_fails_is_one_of_the_trials(tmp_path, folder):
    index = Index(make_sweep(tmp_path), folder)
    directory = index.ask()
    fail(directory, "training: diverged.")
    index.tell(directory)
    assert facts(index)[0][1:2] == ("failed",) and facts(index)[0][-1] == "training: diverged."
    assert index.begun() == 1 and index.front() == []


def test_optunas_pruner_stops_a_trial_of_one_objective(tmp_path, folder):
    prune = {"pruner": "median", "startup_trials": 1}
    index = Index(make_sweep(tmp_path, objectives="val_accuracy", prune=prune), folder)
    good, bad = index.ask(), index.ask()
    complete(good, 0.9, 1000.0)
    index.watch(good)
    index.tell(good)
    bad.add_epoch(0, {"val_accuracy": 0.2})
    index.watch(bad)
    assert bad.stopped == "median after 1 epochs"
    complete(bad, 0.2, 1000.0, epochs=1, stopped=bad.stopped)
    index.tell(bad)
    assert states(index) == ["complete", "stopped"]
    assert [trial.state.name for trial in index.study.trials] == ["COMPLETE", "PRUNED"]
    assert index.study.trials[0].intermediate_values == {0: 0.9, 1: 0.9, 2: 0.9}


def test_a_trial_far_behind_is_stopped_and_keeps_its_values(tmp_path, folder):
    index = Index(make_sweep(tmp_path, prune={"margin": 0.2, "startup_trials": 1}), folder)
    good, bad = index.ask(), index.ask()
    complete(good, 0.9, 1000.0)
    index.tell(good)
    bad.add_epoch(0, {"val_accuracy": 0.45, "ebops": 3000.0})
    index.watch(bad)
    assert bad.stopped == "its front after 1 of 3 epochs was 50.0% behind"
    complete(bad, 0.45, 3000.0, epochs=1, stopped=bad.stopped)
    index.tell(bad)
    assert index.study.trials[1].values == [0.45, 3000.0] and states(index) == ["complete", "stopped"]


# --- what it survives


def test_a_trial_whose_process_died_is_begun_again_in_its_directory(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    index = Index(sweep, folder)
    died = index.ask()
    (died.path / "checkpoint.npz").write_bytes(b"kept")
    params = died.request["params"]
    index = Index(sweep, folder)  # as after a SIGKILL
    assert index.recover() == [] and states(index) == ["died", "waiting"] and index.begun() == 0
    again = index.ask()
    assert again.path == folder / "trial_0001" and again.request["params"] == params
    assert (again.path / "checkpoint.npz").read_bytes() == b"kept" and not died.path.exists()
    assert states(index) == ["died", "running"] and index.begun() == 1
    assert [row_to_dict(index, row)["directory"] for row in index.rows()] == [None, str(again.path)]
    *_, last = _lines(Progress(index, 1, ()))
    assert str(last) == "1 of 1 trials: 1 running; 1 more died, and others go on with their values"


def test_a_trial_that_dies_again_and_again_fails(tmp_path, folder):
    index = Index(make_sweep(tmp_path, retries=1), folder)
    for _ in range(2):
        directory = index.ask()
        index.tell(directory)
    assert states(index) == ["died", "failed"]
    assert facts(index)[1][-1].startswith(f"{DIED}, 2 times")


def test_interruptions_of_the_sweep_are_no_deaths_of_a_trial(tmp_path, folder):
    sweep = make_sweep(tmp_path, retries=0)
    for _ in range(3):
        index = Index(sweep, folder)
        index.recover()
        index.ask()
    index.recover()
    assert states(index) == ["died"] * 3 + ["waiting"] and {row.note for row in index.rows()} == {"interrupted", ""}


def test_a_sweep_killed_between_two_records_begins_every_trial_again(tmp_path, folder):
    sweep = make_sweep(tmp_path, seeds=2)
    index = Index(sweep, folder)
    index.ask()
    seed = index.ask().request["seed"]
    index.recover()
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if b'"died"' in line)
    for cut in range(end, len(lines)):
        (folder / JOURNAL).write_bytes(b"".join(lines[:cut]))
        again = Index(sweep, folder)
        again.recover()
        assert states(again) == ["died", "died", "waiting", "waiting"]
        assert {row.seed for row in again.rows() if row.state == "waiting"} == {3, seed}


def test_a_finished_trial_is_told_after_a_restart(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    complete(Index(sweep, folder).ask(), 0.9, 1000.0)
    index = Index(sweep, folder)
    assert index.recover() == [] and states(index) == ["complete"]


def test_a_trial_that_still_runs_is_waited_for(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    directory = Index(sweep, folder).ask()
    with directory.alive():  # what its process does
        (found,) = Index(sweep, folder).recover()
    assert found.path == directory.path and not directory.is_alive


def test_a_trial_that_was_given_up_does_not_start(tmp_path, folder):
    index = Index(make_sweep(tmp_path), folder)
    directory = index.ask()
    index.tell(directory)  # no outcome: given up, while its job waits in a queue
    run_trial(directory.path)
    assert not directory.path.exists()


@pytest.mark.parametrize("step", [31, pytest.param(1, marks=pytest.mark.slow)])
def test_the_journal_cut_at_any_byte_of_its_last_line_opens(tmp_path, folder, step):
    sweep = make_sweep(tmp_path)
    index = Index(sweep, folder)
    directory = index.ask()
    complete(directory, 0.9, 1000.0)
    index.tell(directory)
    content, before = (folder / JOURNAL).read_bytes(), facts(index)
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(content), step):
        (folder / JOURNAL).write_bytes(content[:end])
        again = Index(sweep, folder)
        again.recover()
        assert facts(again) == before
        kept = content[last:end]
        assert not kept or (folder / again.notes[0].rpartition("/")[2]).read_bytes() == kept


def test_a_journal_cut_anywhere_is_rebuilt_from_the_directories(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    index = Index(sweep, folder)
    for accuracy in (0.9, 0.8):
        directory = index.ask()
        complete(directory, accuracy, 1000.0)
        index.tell(directory)
    before = [row.values for row in index.rows()]
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    for number in range(0, len(lines), 3):
        (folder / JOURNAL).write_bytes(b"".join(lines[:number]))
        again = Index(sweep, folder)
        again.recover()
        assert [row.values for row in again.rows() if row.state == "complete"] == before


@pytest.mark.slow
def test_a_stale_lock_of_the_journal_costs_few_seconds(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    Index(sweep, folder)
    (folder / f"{JOURNAL}.lock").touch()
    begun = time.monotonic()
    Index(sweep, folder).ask()
    assert time.monotonic() - begun < 15  # Optuna waits 30


def test_what_is_whole_is_not_trimmed(tmp_path):
    path = tmp_path / "journal"
    assert trim(path) is None
    path.write_bytes(b'{"a":1}\n')
    assert trim(path) is None and path.read_bytes() == b'{"a":1}\n'
    path.write_bytes(b'{"a":1}\n\0\0\n{"b"')
    assert trim(path).read_bytes() == b'\0\0\n{"b"' and path.read_bytes() == b'{"a":1}\n'


def test_a_damaged_study_says_how_to_rebuild_it(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    Index(sweep, folder)
    content = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(b"garbage\n" + content)
    with pytest.raises(ModelFileError, match=r"study\.journal: is damaged\. .* --rebuild"):
        Index(sweep, folder)
    assert states(Index(sweep, folder, rebuild=True)) == []


@pytest.mark.parametrize("storage", ["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_a_study_rebuilt_from_the_directories_is_the_same(tmp_path, folder, storage):
    sweep = make_sweep(tmp_path, storage=storage, constraints={"ebops": {"at_most": 1500}}, retries=0)
    index = Index(sweep, folder)
    for accuracy, ebops in [(0.9, 2000.0), (0.8, 1000.0)]:
        directory = index.ask()
        complete(directory, accuracy, ebops)
        index.tell(directory)
    for error in ("no", None):
        directory = index.ask()
        if error:
            fail(directory, error)
        index.tell(directory)
    again = Index(sweep, folder, rebuild=True)
    assert again.recover() == [] and facts(again) == facts(index)
    assert [trial.constraints for trial in again.study.trials] == [trial.constraints for trial in index.study.trials]


def test_a_trial_that_died_is_begun_again_after_a_rebuild(tmp_path, folder):
    sweep = make_sweep(tmp_path)
    index = Index(sweep, folder)
    index.tell(index.ask())
    complete(index.ask(), 0.9, 1000.0)  # the one that was begun again
    index.ask()
    index.recover()
    assert states(index) == ["died", "complete", "died", "waiting"]
    again = Index(sweep, folder, rebuild=True)
    again.recover()
    assert states(again) == states(index)
    params = trial_directory(folder, 2, GIVEN_UP).request["params"]
    assert again.ask().request["params"] == params
    assert [each.path.name for each in trial_directories(folder)] == ["trial_0001", "trial_0003"]


# --- whose it is


def test_another_sweep_does_not_go_on_in_the_directory(tmp_path, folder):
    (folder / "sweep.yaml").write_text(json.dumps(make_sweep(tmp_path).to_dict()))
    check_directory(make_sweep(tmp_path, trials=99, prune={"margin": 0.1}, storage="journal"), folder)
    with pytest.raises(ConfigError, match=rf"another sweep\. sweep\.space\.{UNITS}\.choices\.0: 4 before, 5 now"):
        check_directory(make_sweep(tmp_path, space={**SPACE, UNITS: {"choices": [5, 6, 8]}}), folder)


def test_a_directory_with_other_files_is_refused(tmp_path, folder):
    (folder / "mine.txt").touch()
    with pytest.raises(ConfigError, match="exists and is not empty; a sweep needs a new directory"):
        check_directory(make_sweep(tmp_path), folder)


@pytest.mark.slow
def test_a_study_of_a_database_belongs_to_one_sweep(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    sweep = make_sweep(tmp_path, storage=url, study="shared")
    Index(sweep, tmp_path / "one").ask()
    with pytest.raises(ConfigError, match=r"'shared' in .* belongs to another sweep"):
        Index(sweep, tmp_path / "two")


def test_a_password_is_not_shown():
    assert shown("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert shown("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_nor_where_a_sweep_goes_on_with_another_one(tmp_path, folder):
    before, after = (make_sweep(tmp_path, storage=f"postgresql://me:{word}@host/db") for word in ("secret", "hidden"))
    (folder / "sweep.yaml").write_text(json.dumps(before.to_dict()))
    with pytest.raises(ConfigError, match=r"sweep\.storage: 'postgresql://me:\*\*\*@host/db' before") as error:
        check_directory(after, folder)
    assert "secret" not in str(error.value) and "hidden" not in str(error.value)


def test_a_database_that_cannot_be_reached_is_named(tmp_path, folder):
    with pytest.raises(ConfigError, match=r"sweep\.storage: nonsense://host/db cannot be used\."):
        Index(make_sweep(tmp_path, storage="nonsense://host/db"), folder)


def test_a_choice_without_all_its_seeds_beats_none_that_has_them(tmp_path, folder):
    index = Index(make_sweep(tmp_path, seeds=2), folder)
    results = [(0.75, 1000.0), (0.75, 1000.0), (0.9, 900.0)]  # the third is better in both, by one seed
    for accuracy, ebops in results:
        directory = index.ask()
        complete(directory, accuracy, ebops)
        index.tell(directory)
    assert [(row.number, row.seeds) for row in index.front()] == [(2, 1), (0, 2)]
    console = Console(width=120)
    with console.capture() as shown:
        console.print(front_table(index, index.front()))
    assert "2 (1 of 2 seeds)" in shown.get()
    directory = index.ask()  # the second seed is no better
    complete(directory, 0.5, 1300.0)
    index.tell(directory)
    assert [(row.number, row.seeds) for row in index.front()] == [(0, 2)]


def test_headings_of_the_front_break_between_words_alone(tmp_path, folder):
    units = {f"model.layers.{name}.units": {"low": 10, "high": 16} for name in ("hidden", "logits")}
    batch = {"training.batch_size": {"choices": [64, 128]}}
    space = {RATE: {"low": 1e-3, "high": 1e-2}, BETA: {"low": 1e-7, "high": 1e-5}, **units, **batch}
    index = Index(make_sweep(tmp_path, space=space), folder)
    directory = index.ask()
    complete(directory, 0.9512, 12345.0)
    index.tell(directory)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(front_table(index, index.front()))
    heading = shown.get().partition("─")[0].split()
    paths = "learning rate ebops beta hidden units logits units batch size"
    assert sorted(heading) == sorted(f"front trial val accuracy ebops {paths}".split())
