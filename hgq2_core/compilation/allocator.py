"""Memory that a step frees and the next one needs again: kept in the process, where the C library can be told to."""

from __future__ import annotations

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of glibc's `mallopt`, from its `malloc.h`."""
KEPT = 1 << 30
"""Bytes: up to so many stay in the process, in one block or free at the top of the heap."""
SETTINGS_OF_THE_USER = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX")


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, up to 1 GiB, instead of returning it to the system.

    By default glibc returns blocks of more than 32 MiB, and what is free at the top of the heap, as soon as they are
    freed. The temporary tensors of a training step are such blocks, so each step takes its pages from the system again,
    which clears them: up to half the time of a step, on torch and on jax. The command line calls this; in Python call
    it once, before anything has run on a backend, whose threads would keep their own heaps. Settings of the allocator
    in the environment have precedence. The peak of the process's memory stays the same.

    Returns:
        Whether it is set; False where the environment sets the allocator, and where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SETTINGS_OF_THE_USER):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Heaps of further threads are limited to 64 MiB, and XLA runs in such threads: all of them share the main one.
    return all([mallopt(MMAP_THRESHOLD, KEPT), mallopt(TRIM_THRESHOLD, KEPT), mallopt(ARENA_MAX, 1)])
