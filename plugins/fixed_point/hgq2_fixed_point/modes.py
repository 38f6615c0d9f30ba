"""The names of the rounding and overflow modes, and their check."""

from __future__ import annotations

from typing import Literal, get_args

from hgq2_core.errors import ConfigError, listing, nearest

RoundMode = Literal["TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV", "S_RND", "S_RND_CONV"]
OverflowMode = Literal["WRAP", "SAT", "SAT_SYM", "SAT_ZERO", "WRAP_SM"]

ROUND_MODES: tuple[RoundMode, ...] = get_args(RoundMode)
OVERFLOW_MODES: tuple[OverflowMode, ...] = get_args(OverflowMode)
WRAP_SM_ROUND_MODES: tuple[RoundMode, ...] = ("RND", "RND_CONV")

DETERMINISTIC: dict[str, RoundMode] = {"S_RND": "RND", "S_RND_CONV": "RND_CONV"}
"""The modes that are stochastic in training, and how they round elsewhere."""


def _check_name(argument: str, received: object, allowed: tuple[str, ...]) -> None:
    if received not in allowed:
        hint = nearest(received, allowed)
        raise ConfigError(f"{argument}={received!r} is not known; allowed: {listing(allowed)}.{hint}")


def check_round_mode(round_mode: str) -> None:
    """Accept a rounding mode by name.

    Args:
        round_mode: the name received.

    Raises:
        ConfigError: the name is not in `ROUND_MODES`.
    """
    _check_name("round_mode", round_mode, ROUND_MODES)


def check_modes(round_mode: str, overflow_mode: str) -> None:
    """Accept a rounding and an overflow mode that are known and defined together.

    Args:
        round_mode: the name received, one of `ROUND_MODES`.
        overflow_mode: the name received, one of `OVERFLOW_MODES`.

    Raises:
        ConfigError: a name is unknown, or WRAP_SM comes with anything but RND or RND_CONV.
    """
    check_round_mode(round_mode)
    _check_name("overflow_mode", overflow_mode, OVERFLOW_MODES)
    if overflow_mode == "WRAP_SM" and round_mode not in WRAP_SM_ROUND_MODES:
        hint = nearest(round_mode, WRAP_SM_ROUND_MODES)
        raise ConfigError(
            f"overflow_mode='WRAP_SM' is not defined with round_mode={round_mode!r}; "
            f"allowed: {listing(WRAP_SM_ROUND_MODES)}.{hint}"
        )
