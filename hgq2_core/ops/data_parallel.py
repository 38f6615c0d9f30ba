"""Batches distributed over the devices of one machine."""

from __future__ import annotations

from typing import Any

import keras
from typing_extensions import override

from hgq2_core.errors import ConfigError


class DataParallel(keras.distribution.DataParallel):
    """Each device computes a part of every batch, with the results of one device.

    Ranges, EBOPs and batch statistics are those of the whole batch. A batch has any size, where Keras' own class takes
    only sizes that the devices divide evenly: each device is given the whole batch, of which the layers compute its
    part. Make the model under it: `keras.distribution.set_distribution(DataParallel())`, or `with
    DataParallel().scope():`.

    Args:
        devices: number of devices; None for all.

    Raises:
        ConfigError: Keras distributes no batches on this backend, or there are fewer devices.
    """

    def __init__(self, devices: int | None = None) -> None:
        present = _devices()
        count = len(present) if devices is None else devices
        if not 1 <= count <= len(present):
            raise ConfigError(
                f"DataParallel: Received: {count} devices. Allowed: 1 to {len(present)}, which are here: "
                f"{', '.join(present)}. Several devices of one CPU: XLA_FLAGS=--xla_force_host_platform_device_count="
                f"{max(count, 2)} in the environment."
            )
        super().__init__(devices=present[:count])

    @override
    def get_data_layout(self, data_shape: Any) -> keras.distribution.TensorLayout:
        if keras.backend.backend() != "jax":
            return super().get_data_layout(data_shape)
        # Keras lays out all batches of an epoch as the first one, and jax places no array unevenly.
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)


def _devices() -> list[str]:
    backend = keras.backend.backend()
    try:
        if backend != "tensorflow":  # lists devices, but does not distribute batches over them
            return list(keras.distribution.list_devices())
    except AttributeError:  # Keras has no distribution for the backend, as up to 3.15 for torch
        pass
    raise ConfigError(
        f"DataParallel: Keras {keras.__version__} does not distribute batches on {backend}. Use jax, by "
        "KERAS_BACKEND=jax in the environment"
        + (", or a Keras that lists the devices of torch, from 3.16 on." if backend == "torch" else ".")
    )
