"""A sweep file: a model's config, or the name of one, with a section `sweep`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hgq2_core import ModelConfig
from hgq2_core.config.overrides import overridden
from hgq2_core.config.reader import read_document
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.schema.base import Document, StrictModel, as_text, validation_error, validation_errors
from hgq2_core.schema.condition import OneOrMore
from hgq2_training.callbacks.front import Direction, Front
from hgq2_training.sweeps.runners.options import LocalOptions, RunnerOptions
from hgq2_training.sweeps.space import Parameter, apply

SECTION, BASE = "sweep", "base"
Count = Annotated[int, Field(ge=1)]
MAY_CHANGE = ("trials", "workers", "runner", "prune", "retries", "sampler", "startup_trials")
"""Fields of the section that may differ when a sweep goes on."""
LOCAL_STORAGES = ("journal", "sqlite")


class Bound(StrictModel):
    """A bound on a metric of the trained model.

    Args:
        at_most: the largest value that is allowed.
        at_least: the smallest value that is allowed.
    """

    at_most: float | None = None
    at_least: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise validation_error("needs either `at_most` or `at_least`.")
        return self

    def excess(self, value: float) -> float:
        """Return by how much a value breaks the bound; not positive if it keeps it."""
        if self.at_most is not None:
            return value - self.at_most
        return float(self.at_least or 0.0) - value


class Prune(StrictModel):
    """When a trial without prospects is stopped early.

    Args:
        pruner: one of Optuna's, which compares a single objective epoch by epoch.
        margin: how far a trial's front, after a third or two thirds of its epochs, may lie behind the front that the
            finished trials had there: the share by which every objective would have to improve.
        startup_trials: trials that are finished before the first is stopped.
        warmup_epochs: epochs without a comparison by `pruner`.
    """

    pruner: Literal["median", "hyperband", "successive_halving"] | None = None
    margin: Annotated[float, Field(ge=0)] | None = None
    startup_trials: Count = 5
    warmup_epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.pruner is None) == (self.margin is None):
            raise validation_error("needs either `pruner`, for one objective, or `margin`.")
        if self.pruner != "median" and "warmup_epochs" in self.model_fields_set:
            raise validation_error(f"`warmup_epochs` is for `pruner: median`. Received: {self.warmup_epochs}.")
        if self.pruner in ("hyperband", "successive_halving") and "startup_trials" in self.model_fields_set:
            raise validation_error(f"`startup_trials` has no meaning for `pruner: {self.pruner}`. Leave it out.")
        return self


class SweepSection(StrictModel):
    """What to try, and what for.

    Args:
        space: paths in the model's config, as `--set` takes them, and the values to try.
        objectives: what is measured on the trained model: `ebops`, calibrated, or `val_<metric>`, on the validation
            part. Several are a Pareto front.
        directions: `min` or `max` for objectives whose direction does not follow from the name.
        constraints: bounds on what is measured; trials outside are not on the front, and are avoided.
        trials: number of trials; `--trials` takes precedence.
        workers: trials at the same time; `--workers` takes precedence.
        seeds: trainings of each choice of values, with consecutive seeds from the config's on, each a trial.
        sampler: `tpe`, which learns from finished trials, or `random`.
        startup_trials: trials with random values before `tpe` learns.
        seed: of the sampler.
        prune: when trials are stopped early; None: never.
        retries: how often a trial is begun again whose process ended without a result.
        storage: `journal` or `sqlite`, a file of the sweep's directory, or the URL of a PostgreSQL or MySQL database.
        study: name of the study in a database; by default that of the sweep's directory.
        runner: where trials run.
    """

    space: Annotated[dict[str, Parameter], Field(min_length=1)]
    objectives: Annotated[tuple[str, ...], Field(min_length=1), OneOrMore()]
    directions: dict[str, Direction] = Field(default_factory=dict)
    constraints: dict[str, Bound] = Field(default_factory=dict)
    trials: Count = 20
    workers: Count = 1
    seeds: Count = 1
    sampler: Literal["tpe", "random"] = "tpe"
    startup_trials: Count = 10
    seed: Annotated[int, Field(ge=0, lt=1 << 31)] = 0
    prune: Prune | None = None
    retries: Annotated[int, Field(ge=0)] = 2
    storage: str = "journal"
    study: str | None = None
    runner: RunnerOptions = LocalOptions()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (*self.objectives, *self.constraints):
            check_measured(name)
        try:
            self.front()
        except ConfigError as error:
            raise validation_error(f"objectives: {error}") from None
        if len(self.objectives) > 1 and self.prune is not None and self.prune.pruner is not None:
            message = f"{self.prune.pruner!r} compares one objective. Received: {len(self.objectives)}. Give `margin`."
            raise validation_errors([(("prune", "pruner"), message)])
        for path in self.space:
            outer = next((each for each in self.space if path.startswith(f"{each}.")), None)
            if outer is not None:
                message = f"lies inside {outer}, which is tried as a whole. Leave one of them out."
                raise validation_errors([(("space", path), message)])
        if self.seeds > 1 and "seed" in self.space:
            raise validation_errors([(("seeds",), "the space has `seed` as well. Leave one of them out.")])
        if self.storage not in LOCAL_STORAGES and "://" not in self.storage:
            message = (
                f"not allowed. Received: {as_text(self.storage)}. Allowed: {', '.join(LOCAL_STORAGES)}, "
                f"or a URL such as postgresql://user@host/database.{nearest(self.storage, LOCAL_STORAGES)}"
            )
            raise validation_errors([(("storage",), message)])
        return self

    def front(self) -> Front:
        """Return an empty front of the objectives."""
        return Front(self.objectives, self.directions)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of what is measured for objectives and constraints."""
        return tuple(dict.fromkeys([*self.objectives, *self.constraints]))


def check_measured(name: str) -> None:
    """Refuse what is not measured on a trained model, or would choose by the test part."""
    if name.startswith("test"):
        raise validation_error(f"{name!r} would choose by the test part. Take val_{name.removeprefix('test_')}.")
    if name != "ebops" and not name.startswith("val_"):
        allowed = ["ebops", f"val_{name}"]
        raise validation_error(
            f"unknown metric. Received: {as_text(name)}. Allowed: ebops, or val_<metric>, on the validation part."
            f"{nearest(name, allowed)}"
        )


class SweepDocument(Document):
    """The part of a sweep file that is not a model's config.

    Args:
        sweep: what to try, and what for.
    """

    sweep: SweepSection


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file.

    Args:
        section: its section `sweep`.
        document: the model's config, as plain data, in which the values are set.
        config: the same, checked.
        written: the section as it was written, to be kept.
    """

    section: SweepSection
    document: Mapping[str, Any]
    config: ModelConfig
    written: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole file as plain data, with the model's config in place of the name of one."""
        return {SECTION: dict(self.written), **self.document}

    def complete(self) -> dict[str, Any]:
        """Return the whole file with every default written out, to compare it with another."""
        return {SECTION: self.section.model_dump(mode="json"), **self.config.model_dump(mode="json")}


def load_sweep(path: str | Path, settings: Iterable[str] = ()) -> Sweep:
    """Read and check a sweep file; every value of the space is checked against the schema of the model's config.

    Args:
        path: a YAML or JSON file.
        settings: changes to it, each `PATH=VALUE`; see `hgq2_core.config.overrides`.

    Raises:
        ConfigError: the file or the config that it names is wrong, with the place.
    """
    path = Path(path)
    document = read_document(path)
    where = str(path)
    if SECTION not in document:
        raise ConfigError(f"{path}: {SECTION}: is missing; it says what to try, and what for.")
    if BASE in document:
        base, others = document.pop(BASE), [key for key in document if key != SECTION]
        if not isinstance(base, str):
            raise ConfigError(f"{path}: {BASE}: must be the path of a config, from here. Received: {as_text(base)}.")
        if others:
            raise ConfigError(f"{path}: {listing(others)}: stands in {base} as well. Keep one, or change it by --set.")
        where = f"{path.parent / base}"
        of_model = read_document(where)
        if SECTION in of_model:
            raise ConfigError(f"{path}: {BASE}: must be a model's config. Received: {base}, which is a sweep file.")
        document = {SECTION: document[SECTION], **of_model}
    document = overridden(document, settings)
    section = document.pop(SECTION)
    parsed = SweepDocument.parse({SECTION: section}, str(path)).sweep
    config = ModelConfig.parse(document, where)
    _check_space(parsed, document, str(path))
    return Sweep(parsed, document, config, section)


def _check_space(section: SweepSection, document: Mapping[str, Any], where: str) -> None:
    problems = []
    for path, parameter in section.space.items():
        for name, value in parameter.extremes:
            place = f"{where}: {SECTION}.space.{path}.{name}"
            try:
                # A step of the path that does not exist is reported once, without the value.
                changed = apply(document, {path: value}, f"{where}: {SECTION}.space")
            except ConfigError as error:
                problems.append(str(error))
                break
            try:
                ModelConfig.parse(changed, place)
            except ConfigError as error:
                problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
