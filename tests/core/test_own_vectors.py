"""The test vectors that an export makes itself: where they reach."""

from __future__ import annotations

import keras
import numpy as np

from hgq2_core.exporting.inputs import Format, HostInputs
from hgq2_core.exporting.vectors import own_inputs


def test_they_reach_the_corners_between_the_ends():
    inputs = HostInputs([keras.KerasTensor((None, 3), name="x")])
    entries = [inputs.enter(number, Format(1, 2, 3, "RND", "SAT")) for number in inputs.raw()[0].ravel()]
    (x,) = own_inputs(inputs.ports([entry.format[:3] for entry in entries]))
    assert len(x) == 259
    assert (x >= -4).all() and (x <= 3.875).all() and (x * 8 == np.round(x * 8)).all()
    corners = {tuple(row) for row in x if set(row) <= {-4.0, 3.875}}
    assert len(corners) == 2**3
