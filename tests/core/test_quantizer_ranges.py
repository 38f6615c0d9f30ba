"""The range of a quantizer, as far as the core works with it: a quantizer from elsewhere that has one, or has flags."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, calibrate
from hgq2_core.model.calibration import read_record
from hgq2_core.model.range_init import fitted
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import phase
from hgq2_core.quantizers.ranges import ObservedRange, Range
from hgq2_fixed_point import KBI
from hgq2_fixed_point.quantizers import KBIQuantizer

FLAGS = ("tracks_range", "step_follows_range", "follows_values", "fits_range")


class Largest(ObservedRange):
    """Values up to the largest magnitude seen."""

    def __init__(self) -> None:
        super().__init__()
        self.limit: Any = None

    def reset(self) -> None:
        """Hold 0 alone."""
        self.limit.assign(0.0)

    def widen(self, margin: int) -> None:
        """Double the range `margin` times."""
        self.limit.assign(self.limit * 2.0**margin)


class ClippingQuantizer(Quantizer[Any]):
    """Clips to the range."""

    def __init__(self) -> None:
        super().__init__(KBI(), Slot("activation", "input"))
        self.range = Largest()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the limit."""
        self.range.limit = self.add_weight(name="limit", shape=(), initializer="ones", trainable=False)
        super().build(input_shape)

    def quantize(self, x: Any, training: bool = False) -> Any:
        """Clip, having widened the range in calibration."""
        if phase() == "calibrate":
            self.range.limit.assign(keras.ops.maximum(self.range.limit, keras.ops.max(keras.ops.abs(x))))
        limit = keras.ops.convert_to_tensor(self.range.limit)
        return keras.ops.clip(x, -limit, limit)

    def bits(self, x: Any = None) -> Any:
        """Count eight."""
        return keras.ops.full((2,), 8.0)

    def exact(self, arrays: Any, x: Any) -> Any:
        """Clip."""
        limit = arrays.constant(self.format()["limit"])
        return arrays.maximum(arrays.minimum(x, limit), arrays.negate(limit))

    def format(self, x: Any = None) -> dict[str, Any]:
        """Return the limit."""
        return {"limit": keras.ops.convert_to_numpy(self.range.limit)}


def test_an_observed_range_is_reset_observed_widened_and_recorded():
    inputs = keras.Input((2,))
    quantizer = ClippingQuantizer()
    model = keras.Model(inputs, quantizer(inputs))
    report = calibrate(model, np.array([[0.25, -0.5], [0.0, 0.125]], np.float32), margin=1)
    assert (report.samples, report.quantizers) == (2, ("input",))
    assert float(quantizer.range.limit.numpy()) == 1.0
    assert read_record(model) == (2, 1)


def test_a_range_says_whether_fit_ranges_sets_it():
    inputs = keras.Input((2,))
    quantizer = ClippingQuantizer()
    model = keras.Model(inputs, quantizer(inputs))
    assert fitted(model) == []
    quantizer.range = Range(fits_data=True)
    assert fitted(model) == [quantizer]


@pytest.mark.parametrize("flag", FLAGS)
def test_flags_of_before_are_refused_with_what_replaces_them(flag):
    flagged = type("Flagged", (KBIQuantizer,), {flag: True})(KBI(), Slot("weight", "kernel", "dense"))
    with pytest.raises(ConfigError) as error:
        flagged.build((2,))
    assert str(error.value) == (
        "dense.kernel: Flagged describes its range by flags, which are no longer read. "
        f"Received: {flag}. Allowed: self.range = Range(…), an ObservedRange or a DynamicRange of "
        "hgq2_core.quantizers.ranges, in __init__."
    )
