"""The cost of the model as a number of each epoch."""

from __future__ import annotations

from typing import Any

import keras
from hgq2_core.cost import ebops


class EbopsLog(keras.callbacks.Callback):
    """Add the model's effective bit operations to the logs of every epoch, as `ebops`.

    List it before the callbacks that read the logs.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the cost with the present bits."""
        if logs is not None:
            logs["ebops"] = float(ebops(self.model))
