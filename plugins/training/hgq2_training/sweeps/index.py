"""The study of a sweep: an index of its trials' directories, from which it can be made again at any time."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hgq2_training.callbacks.front import Entry
from hgq2_training.sweeps.config import Sweep
from hgq2_training.sweeps.pruning import hopeless, optuna_pruner
from hgq2_training.sweeps.space import apply, config_values
from hgq2_training.sweeps.storage import discard_study, import_optuna, open_study
from hgq2_training.sweeps.trial import COMPLETE, FAILED
from hgq2_training.sweeps.trial_directory import GIVEN_UP, TRIALS, TrialDirectory, trial_directories, trial_directory

STATES: Mapping[str, str] = {
    "COMPLETE": COMPLETE, "PRUNED": "stopped", "FAIL": FAILED, "RUNNING": "running", "WAITING": "waiting"
}  # fmt: skip
DONE = (COMPLETE, "stopped")
"""States of a trial that has values."""
DIED, INTERRUPTED = "its process ended without a result", "interrupted"


@dataclass(frozen=True)
class Row:
    """A trial, for people.

    Args:
        number: of the trial.
        state: `complete`, `stopped`, `failed`, `running`, `waiting`, or `died`: its process ended without a result.
        params: path in the config to value.
        seed: of the trial.
        values: what was measured, by name.
        feasible: whether all constraints are kept.
        note: why it was stopped or failed; empty otherwise.
        deviations: of `values` between seeds, where those are means.
        seeds: number of trials of which `values` are the means.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    seed: int
    values: Mapping[str, float]
    feasible: bool
    note: str
    deviations: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 1


class Index:
    """The study of a sweep; only one process uses it at a time.

    Args:
        sweep: the sweep.
        directory: its directory.
        rebuild: whether the study is made again from the directories, whatever it holds.
    """

    def __init__(self, sweep: Sweep, directory: Path, rebuild: bool = False) -> None:
        self.sweep = sweep
        self.section = sweep.section
        self.directory = directory
        self.optuna = import_optuna()
        self._states = self.optuna.trial.TrialState
        self._space = {path: each.distribution() for path, each in self.section.space.items()}
        if rebuild:
            discard_study(self.section, directory)
        epochs = self._epochs(sweep.document)
        pruner = optuna_pruner(self.section.prune, epochs, self.optuna)
        self.study, self.notes = open_study(self.section, directory, None, pruner)
        self._add_directories()
        self.study.sampler = self._sampler()
        self._finished: dict[int, tuple[list[dict[str, float]], int]] = {}

    # --- the life of a trial

    def ask(self) -> TrialDirectory:
        """Return the directory of a new trial, with the values that the study proposes."""
        trial = self.study.ask(self._space)
        attributes = dict(trial.user_attrs)
        if not {"seed", "continues"} & attributes.keys():  # a new choice of values, not one that is repeated
            for seed in range(1, self.section.seeds):
                self.study.enqueue_trial(trial.params, {"seed": self.sweep.config.seed + seed})
        directory = trial_directory(self.directory, trial.number)
        if "continues" in attributes:
            given_up = self._given_up(attributes["continues"])
            if given_up.path.is_dir():
                given_up.rename(directory.path)
        values = config_values(self.section.space, trial.params)
        seed = attributes.get("seed", values.get("seed", self.sweep.config.seed))
        document = apply({**self.sweep.document, "seed": seed}, values)
        directory.ask(
            {
                "number": trial.number,
                "params": trial.params,
                "attributes": attributes,
                "seed": seed,
                "document": document,
                "objectives": list(self.section.objectives),
                "measured": list(self.section.measured),
                "cwd": str(Path.cwd()),
            }
        )
        return directory

    def watch(self, directory: TrialDirectory) -> None:
        """Take note of the epochs of a running trial, and ask it to stop if it has no prospects."""
        if self.section.prune is None or directory.stopped:
            return
        epochs = directory.epochs
        reason = self._by_pruner(directory.number, epochs) if self.section.prune.pruner else ""
        if self.section.prune.margin is not None:
            total = self._epochs(directory.request["document"])
            reason = hopeless(epochs, total, list(self._finished.values()), self.section)
        if reason:
            directory.stop(reason)

    def tell(self, directory: TrialDirectory, interrupted: bool = False) -> None:
        """Tell the study the outcome of a trial whose process has ended; without one, the trial is begun again.

        Args:
            directory: of the trial.
            interrupted: whether its process ended because the sweep did, which does not count as one of its deaths.
        """
        number, outcome = directory.number, directory.outcome
        trial = self._trial(number)
        if not outcome:
            self._tell_dead(number, trial, directory, interrupted)
        elif outcome["state"] == FAILED:
            trial.set_user_attr("error", outcome["error"])
            self.study.tell(number, state=self._states.FAIL)
        else:
            self._tell_complete(number, trial, outcome)
            self._note_finished(directory)

    def recover(self) -> list[TrialDirectory]:
        """Tell the study what happened to trials that it holds for running; return those that really are."""
        alive = []
        for trial in self.study.get_trials(deepcopy=False, states=(self._states.RUNNING,)):
            directory = trial_directory(self.directory, trial.number)
            if directory.is_alive:
                alive.append(directory)
            else:
                self.tell(directory, interrupted=True)
        self._enqueue_given_up()
        for directory in trial_directories(self.directory):
            self._note_finished(directory)
        return alive

    # --- what is known

    def begun(self) -> int:
        """Return the number of trials that are finished or running, without those that died and are begun again."""
        states = [self._state(trial) for trial in self.study.get_trials(deepcopy=False)]
        return sum(state not in ("died", "waiting") for state in states)

    def rows(self) -> Iterator[Row]:
        """Yield the trials, in order."""
        for trial in self.study.get_trials(deepcopy=False):
            params = config_values(self.section.space, trial.params)
            yield Row(
                number=trial.number,
                state=self._state(trial),
                params=params,
                seed=trial.user_attrs.get("seed", params.get("seed", self.sweep.config.seed)),
                values=trial.user_attrs.get("values", {}),
                feasible=self.keeps(trial.user_attrs.get("values", {})),
                note=trial.user_attrs.get("stopped") or trial.user_attrs.get("error", ""),
            )

    def front(self) -> list[Row]:
        """Return the trials that no other one equals or beats in every objective, by the values of the last one.

        With several seeds, each row is the mean over the seeds of one choice of values, with the standard deviations.
        One that has not all its seeds yet beats none that has: it stands beside those, as long as none beats it.
        """
        found = [row for row in self.rows() if row.state in DONE]
        rows = [row for row in (self._means(found) if self.section.seeds > 1 else found) if row.feasible]
        whole = self._unbeaten([row for row in rows if row.seeds == self.section.seeds])
        others = [row for row in self._unbeaten(rows) if row.seeds < self.section.seeds]
        last = self.section.objectives[-1]
        return sorted([*whole, *others], key=lambda row: row.values[last])

    def _unbeaten(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that no other one of them beats."""
        by_number, front = {row.number: row for row in rows}, self.section.front()
        for row in by_number.values():
            front.offer(Entry(row.number, row.values))
        return [by_number[entry.epoch] for entry in front.entries]

    def keeps(self, values: Mapping[str, float]) -> bool:
        """Return True if what was measured keeps all constraints."""
        return all(excess <= 0 for excess in self._excess(values).values())

    def _means(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield one row for all rows with the same values of the config, with the number and seed of the first."""
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(json.dumps(row.params), []).append(row)
        for group in groups.values():
            columns = {name: [row.values[name] for row in group] for name in self.section.measured}
            means = {name: statistics.fmean(column) for name, column in columns.items()}
            spread = {name: statistics.stdev(column) for name, column in columns.items() if len(column) > 1}
            yield replace(group[0], values=means, deviations=spread, feasible=self.keeps(means), seeds=len(group))

    # --- inside

    def _sampler(self) -> Any:
        # A seed that differs after a restart: the same random values must not be drawn again.
        seed = self.section.seed + len(self.study.get_trials(deepcopy=False))
        if self.section.sampler == "random":
            return self.optuna.samplers.RandomSampler(seed=seed)
        return self.optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.section.startup_trials)

    def _trial(self, number: int) -> Any:
        """Return the trial, as the process that asked for it has it."""
        return self.optuna.trial.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)

    def _epochs(self, document: Mapping[str, Any]) -> int:
        training = document.get("training") or {}
        default = 0 if self.sweep.config.training is None else self.sweep.config.training.epochs
        return int(training.get("epochs", default))

    def _by_pruner(self, number: int, epochs: list[dict[str, float]]) -> str:
        trial, (objective,) = self._trial(number), self.section.objectives
        last = self.study.get_trials(deepcopy=False)[number].last_step
        for epoch in range(0 if last is None else last + 1, len(epochs)):
            if objective in epochs[epoch]:
                trial.report(epochs[epoch][objective], epoch)
                if trial.should_prune():
                    return f"{self.section.prune.pruner} after {epoch + 1} epochs"  # type: ignore[union-attr]
        return ""

    def _tell_complete(self, number: int, trial: Any, outcome: Mapping[str, Any]) -> None:
        values = outcome["values"]
        for name, excess in self._excess(values).items():
            trial.set_constraint(name, excess)
        trial.set_user_attr("values", values)
        if outcome["stopped"]:
            trial.set_user_attr("stopped", outcome["stopped"])
        if outcome["stopped"] and self.section.prune is not None and self.section.prune.pruner is not None:
            self.study.tell(number, state=self._states.PRUNED)
        else:
            self.study.tell(number, [values[name] for name in self.section.objectives])

    def _tell_dead(self, number: int, trial: Any, directory: TrialDirectory, interrupted: bool) -> None:
        deaths = trial.user_attrs.get("deaths", 0) + (not interrupted)
        if deaths > self.section.retries:
            error = f"{DIED}, {deaths} times; {directory.log} may say why"
            directory.finish({"state": FAILED, "error": error})
        else:
            error = INTERRUPTED if interrupted else DIED
            self._give_up(number, trial, directory)
            trial.set_user_attr("died", True)
        trial.set_user_attr("deaths", deaths)
        trial.set_user_attr("error", error)
        self.study.tell(number, state=self._states.FAIL)
        self._enqueue_given_up()

    def _give_up(self, number: int, trial: Any, directory: TrialDirectory) -> None:
        """Move the directory of a trial away, so that a process that waits to begin in it ends."""
        given_up = self._given_up(number)
        before = self._given_up(trial.user_attrs.get("continues", number))
        for source in (directory, before):
            if source.path.is_dir() and not given_up.path.exists():
                source.rename(given_up.path)
        # A process that was killed may not have written them, and the study may have lost them with its last records.
        if trial.params.keys() == self._space.keys():
            given_up.ask({**given_up.request, "params": trial.params, "attributes": dict(trial.user_attrs)})

    def _enqueue_given_up(self) -> None:
        """Enqueue again the trials that were given up, each once."""
        trials = self.study.get_trials(deepcopy=False)
        continued = {trial.user_attrs.get("continues") for trial in trials}
        for directory in trial_directories(self.directory, (GIVEN_UP,)):
            number, request = directory.number, directory.request
            if number in continued or request.get("params", {}).keys() != self._space.keys():
                continue
            kept = {name: value for name, value in request["attributes"].items() if name == "seed"}
            deaths = trials[number].user_attrs.get("deaths", 0)
            self.study.enqueue_trial(request["params"], {**kept, "deaths": deaths, "continues": number})

    def _given_up(self, number: int) -> TrialDirectory:
        """Return the directory of a trial that died, until it is begun again."""
        return trial_directory(self.directory, number, GIVEN_UP)

    def _note_finished(self, directory: TrialDirectory) -> None:
        number = directory.number
        if number not in self._finished and directory.outcome.get("state") == COMPLETE:
            self._finished[number] = directory.epochs, self._epochs(directory.request["document"])

    def _excess(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: bound.excess(values[name]) for name, bound in self.section.constraints.items() if name in values}

    def _state(self, trial: Any) -> str:
        if trial.user_attrs.get("died"):
            return "died"
        if trial.user_attrs.get("stopped"):
            return "stopped"
        return STATES[trial.state.name]

    def _add_directories(self) -> None:
        """Add the trials of directories that the study does not know as running ones, for `recover` to look at."""
        known = len(self.study.get_trials(deepcopy=False))
        found = {each.number: each for each in trial_directories(self.directory, (GIVEN_UP, TRIALS))}
        for number in range(known, max(found, default=-1) + 1):
            self.study.add_trial(self._as_running(found[number].request if number in found else {}))

    def _as_running(self, request: Mapping[str, Any]) -> Any:
        create = self.optuna.trial.create_trial
        if not request:  # nothing is left of the trial, except its number
            return create(state=self._states.FAIL, user_attrs={"died": True, "error": DIED})
        params, attributes = request["params"], request["attributes"]
        return create(state=self._states.RUNNING, params=params, distributions=self._space, user_attrs=attributes)
