"""Contexts that restore the caller's random generators."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Restore the random generators of Python, numpy, Keras and the backends at the end, also after an error.

    Usable as a decorator too. The counters of tensorflow operations that have their own seed are not restored; only
    `tf.random.set_seed`, which `keras.utils.set_random_seed` calls, changes them.
    """
    with ExitStack() as stack:
        for restore in _held():
            stack.callback(restore)
        yield


def _held() -> Iterator[Callable[[], object]]:
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())
    # A library that is not imported has no state yet.
    if torch := sys.modules.get("torch"):
        yield partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_initialized():
            yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    if "keras" in sys.modules:
        from hgq2_core.keras_graph.private import hold_seeds

        yield hold_seeds()
    if "tensorflow" in sys.modules:
        from hgq2_core.keras_graph.private import hold_tensorflow_seed

        yield hold_tensorflow_seed()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all random generators that layers use, and restore the caller's state at the end.

    tensorflow's global seed is left alone: no Keras layer uses it, and setting it would reset the caller's counters.

    Args:
        seed: from 0 to 2³² - 1.
    """
    with preserve_rng():
        random.seed(seed)
        np.random.seed(seed)
        if torch := sys.modules.get("torch"):
            torch.manual_seed(seed)
        if "keras" in sys.modules:
            from hgq2_core.keras_graph.private import forget_seeds

            forget_seeds()
        yield
