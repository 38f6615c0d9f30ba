"""The caller's random streams: what draws on them here puts them back."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np


@contextmanager
def preserve_rng() -> Iterator[None]:
    """Put back, at the end or on an error, the random streams of Python, numpy, Keras and the backends.

    It also decorates functions. Of tensorflow's operations with a seed of their own the counts are not held: only
    `tf.random.set_seed` and with it `keras.utils.set_random_seed` touch those.
    """
    with ExitStack() as stack:
        for restore in _held():
            stack.callback(restore)
        yield


def _held() -> Iterator[Callable[[], object]]:
    yield partial(random.setstate, random.getstate())
    yield partial(np.random.set_state, np.random.get_state())
    # What is not imported has no stream yet.
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
    """Seed all streams that layers draw on, and put the caller's back at the end.

    No layer of Keras draws on tensorflow's global seed, and setting it would restart the caller's counts: it stays.

    Args:
        seed: from 0 up to 2³².
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
