"""How a training is distributed over devices."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal

from pydantic import Field

from hgq2_core.schema.base import StrictModel


class DistributionSection(StrictModel):
    """How a training is distributed over the devices of one machine.

    Args:
        kind: `data_parallel`: each device computes a part of every batch.
        devices: number of devices, or `all` of them.
    """

    kind: Literal["data_parallel"]
    devices: Annotated[int, Field(ge=1)] | Literal["all"] = "all"

    def scope(self) -> AbstractContextManager[None]:
        """Return a context in which Keras distributes models that are made in it.

        Raises:
            ConfigError: Keras distributes no batches on this backend, or there are fewer devices.
        """
        from hgq2_core.ops.data_parallel import DataParallel

        devices = None if self.devices == "all" else self.devices
        return DataParallel(devices).scope()  # type: ignore[no-any-return]


def as_distribution(given: Any) -> Any:
    """Return the name of a distribution as a mapping; other values are returned unchanged."""
    return {"kind": given} if isinstance(given, str) else given
