"""A toy of jets with substructure: a few lines of kinematics, no event generator, no detector.

Momenta are in units of the jet's pT, angles in the plane of eta and phi.

1. **Prongs.** A two-body decay of mass m shares the parent's pT by z, flat between 0.1 and 0.9, and opens by
   delta R = m / (pT sqrt(z (1 - z))), of which each daughter takes a part against its share. A W decays once; a top
   into a b and a W, which decays again. A quark or gluon radiates once instead, soft and collinear: z and delta R are
   flat in their logarithms. pT is flat between 500 and 700 GeV, which is all that sets the angles.
2. **Constituents.** A Poisson number of them, each in a prong by that prong's share, which they divide by a gamma
   distribution. Their momentum across the prong, kT, is log-normal, so that hard ones are near its axis.
3. **Pile-up.** A Poisson number of soft particles, anywhere in the cone.
4. **Resolution.** 5 % of the momentum, 0.01 in the angles.
5. **The jet.** Angles are taken from the pT-weighted axis; what is outside the radius is lost, and the hardest are
   kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RADIUS = 0.8
W_MASS, TOP_MASS = 80.4, 172.5
"""In GeV."""
PT = 500.0, 700.0
"""The range of the jets' pT, in GeV."""
CONSTITUENTS, PILE_UP = 40, 12
"""At most, of one jet."""
MOST_PARTICLES = CONSTITUENTS + PILE_UP


@dataclass(frozen=True)
class Prongs:
    """Up to three directions in each jet.

    Args:
        share: of the jet's pT, shape `(jets, 3)`; 0 for a prong that is not there.
        axis: eta and phi, shape `(jets, 3, 2)`.
    """

    share: Array
    axis: Array


def generate(prongs: NDArray[np.int64], particles: int, seed: int) -> NDArray[np.float32]:
    """Return the hardest particles of jets, in falling order of momentum, and zeros where there are fewer.

    Args:
        prongs: of each jet: 1, 2 or 3.
        particles: of each jet.
        seed: of everything that is random.

    Returns:
        Shape `(jets, particles, 3)`: share of the jet's pT, and eta and phi from the jet's axis in units of its radius.
    """
    rng = np.random.default_rng(seed)
    found = _prongs(rng, prongs)
    pt, angles = _constituents(rng, found)
    soft_pt, soft_angles = _pile_up(rng, len(prongs))
    pt = np.concatenate([pt, soft_pt], axis=1) * rng.normal(1.0, 0.05, (len(prongs), MOST_PARTICLES)).clip(0)
    angles = np.concatenate([angles, soft_angles], axis=1) + rng.normal(0.0, 0.01, (len(prongs), MOST_PARTICLES, 2))
    angles = angles - np.sum(pt[..., None] * angles, axis=1, keepdims=True) / np.sum(pt, axis=1)[:, None, None]
    pt = np.where(np.hypot(*np.moveaxis(angles, -1, 0)) < RADIUS, pt, 0.0)
    order = np.argsort(-pt, axis=1, kind="stable")[:, :particles]
    hardest = np.take_along_axis(pt / np.sum(pt, axis=1, keepdims=True), order, axis=1)[..., None]
    places = np.take_along_axis(angles / RADIUS, order[..., None], axis=1)
    return np.concatenate([hardest, np.where(hardest > 0, places, 0.0)], axis=-1).astype(np.float32)


def _prongs(rng: np.random.Generator, prongs: NDArray[np.int64]) -> Prongs:
    jets = len(prongs)
    pt, z = rng.uniform(*PT, jets), rng.uniform(0.1, 0.9, jets)
    radiated, angle = _log_uniform(rng, 0.02, 0.5, jets), _log_uniform(rng, 0.03, RADIUS, jets)
    share = np.where(prongs == 1, 1.0 - radiated, z)
    mass = np.where(prongs == 3, TOP_MASS, W_MASS)
    opening = np.where(prongs == 1, angle, mass / (pt * np.sqrt(z * (1.0 - z))))
    first, second = _apart(rng, np.zeros((jets, 2)), share, opening)
    # The first daughter of a top is the W.
    inner = rng.uniform(0.1, 0.9, jets)
    of_w = W_MASS / (pt * share * np.sqrt(inner * (1.0 - inner)))
    third, fourth = _apart(rng, first, inner, of_w)
    top = (prongs == 3)[:, None]
    shares = np.stack(
        [share * np.where(prongs == 3, inner, 1.0), 1.0 - share, share * (1.0 - inner) * top[:, 0]], axis=1
    )
    return Prongs(shares, np.stack([np.where(top, third, first), second, fourth], axis=1))


def _apart(rng: np.random.Generator, parent: Array, share: Array, opening: Array) -> tuple[Array, Array]:
    """Return the directions of two daughters, at a random angle, whose momenta across the parent's cancel."""
    phi = rng.uniform(0.0, 2 * np.pi, len(share))
    step = opening[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=1)
    return parent + (1.0 - share)[:, None] * step, parent - share[:, None] * step


def _constituents(rng: np.random.Generator, prongs: Prongs) -> tuple[Array, Array]:
    shape = (len(prongs.share), CONSTITUENTS)
    # Each prong has at least one of them; the others choose by the shares.
    chosen = (rng.random(shape)[..., None] > np.cumsum(prongs.share, axis=1)[:, None, :-1]).sum(axis=-1)
    chosen[:, :3] = np.arange(3)
    there = np.arange(CONSTITUENTS) < rng.poisson(22.0, len(chosen)).clip(3)[:, None]
    pt: Array = rng.gamma(0.6, size=shape) * there
    in_prong = np.stack([np.sum(pt * (chosen == each), axis=1) for each in range(3)], axis=1)
    pt *= np.take_along_axis(prongs.share / np.maximum(in_prong, 1e-12), chosen, axis=1)
    across = rng.lognormal(np.log(0.0015), 0.8, shape)
    phi = rng.uniform(0.0, 2 * np.pi, shape)
    angle = np.minimum(across / np.maximum(pt, 1e-12), RADIUS)
    around = angle[..., None] * np.stack([np.cos(phi), np.sin(phi)], axis=-1)
    return pt, np.take_along_axis(prongs.axis, chosen[..., None], axis=1) + around


def _pile_up(rng: np.random.Generator, jets: int) -> tuple[Array, Array]:
    shape = (jets, PILE_UP)
    there = np.arange(PILE_UP) < rng.poisson(5.0, jets)[:, None]
    radius, phi = RADIUS * np.sqrt(rng.random(shape)), rng.uniform(0.0, 2 * np.pi, shape)
    return rng.exponential(0.003, shape) * there, radius[..., None] * np.stack([np.cos(phi), np.sin(phi)], axis=-1)


def _log_uniform(rng: np.random.Generator, low: float, high: float, size: int) -> Any:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))
