"""The range of a quantizer, as far as calibration, `fit_ranges` and layers work with it."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Range:
    """The values that a format can hold: as here learned by gradients or constant, or of one of the subclasses.

    A quantizer keeps it as its attribute `range`, which is None where the core has nothing to do with the range.

    Args:
        fixed_width: whether a wider range makes the step coarser, because the number of bits stays. Calibration then
            repeats its pass over the data until no range moves.
        fits_data: whether `hgq2_core.fit_ranges` sets it before training. The quantizer does so when it is called in
            the phase "fit", see `hgq2_core.quantizers.phase`.
    """

    def __init__(self, *, fixed_width: bool = False, fits_data: bool = False) -> None:
        self.fixed_width = fixed_width
        self.fits_data = fits_data


class ObservedRange(Range, ABC):
    """A range that is state: every training step widens it (an observer), and calibration fixes it.

    Its quantizer gets a calibration record when it is built, and widens the range when it is called in the phase
    "calibrate".
    """

    @abstractmethod
    def reset(self) -> None:
        """Forget all values seen, before calibration."""

    @abstractmethod
    def widen(self, margin: int) -> None:
        """Add bits to the range, after calibration.

        Args:
            margin: how many.
        """


class DynamicRange(Range):
    """A range without state: each call computes it from its values, so `bits` and `format` need the values too."""
