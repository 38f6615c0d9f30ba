"""The runner of a sweep, as its file names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hgq2_core.errors import nearest
from hgq2_core.schema.base import StrictModel, as_text, validation_error
from hgq2_training.sweeps.runners.runner import Runner


class LocalOptions(StrictModel):
    """Each trial is a process on this machine."""

    kind: Literal["local"] = "local"

    def make(self, directory: Path, workers: int) -> Runner:
        """Return the runner of a sweep in this directory, for this many trials at the same time."""
        from hgq2_training.sweeps.runners.local import Local

        return Local()


class SubmititOptions(StrictModel):
    """Each trial is a job of a cluster, by submitit.

    Args:
        cluster: `slurm`, or `local` for processes on this machine.
        parameters: of each job, as submitit takes them, such as `{timeout_min: 60, slurm_partition: gpu}`.
    """

    kind: Literal["submitit"] = "submitit"
    cluster: Literal["slurm", "local"] = "slurm"
    parameters: dict[str, Any] = Field(default_factory=dict)

    def make(self, directory: Path, workers: int) -> Runner:
        """Return the runner of a sweep in this directory, for this many trials at the same time."""
        from hgq2_training.sweeps.runners.submitit import Submitit

        return Submitit(self.cluster, self.parameters, directory)


class RayOptions(StrictModel):
    """Each trial is a task of Ray.

    Args:
        address: of a cluster; None starts Ray on this machine.
        resources: of each task, as Ray takes them, such as `{num_gpus: 1}`.
    """

    kind: Literal["ray"] = "ray"
    address: str | None = None
    resources: dict[str, Any] = Field(default_factory=lambda: {"num_cpus": 1})

    def make(self, directory: Path, workers: int) -> Runner:
        """Return the runner of a sweep in this directory, for this many trials at the same time."""
        from hgq2_training.sweeps.runners.ray import Ray

        return Ray(self.address, self.resources, workers)


OPTIONS: Mapping[str, type[LocalOptions | SubmititOptions | RayOptions]] = {
    "local": LocalOptions,
    "submitit": SubmititOptions,
    "ray": RayOptions,
}


def _by_kind(value: Any) -> Any:
    """Return the options of the kind that a name, or a mapping with `kind`, asks for."""
    if isinstance(value, StrictModel):
        return value
    given = {"kind": value} if isinstance(value, str) else value
    kind = given.get("kind") if isinstance(given, Mapping) else None
    if not isinstance(kind, str) or kind not in OPTIONS:
        hint = nearest(kind, OPTIONS) if kind else ""
        raise validation_error(
            f"must be a kind of runner, or a mapping with `kind`. Received: {as_text(value)}. "
            f"Allowed: {', '.join(OPTIONS)}.{hint}"
        )
    return OPTIONS[kind].model_validate(given)


_Options = LocalOptions | SubmititOptions | RayOptions
_Written = Literal["local", "submitit", "ray"] | LocalOptions | SubmititOptions | RayOptions
RunnerOptions = Annotated[_Options, BeforeValidator(_by_kind, json_schema_input_type=_Written)]
