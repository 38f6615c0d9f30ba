"""The generated jets have the kinematics that their documentation says."""

from __future__ import annotations

import numpy as np
import pytest

from hgq2_core.errors import ConfigError
from hgq2_training.datasets.jet_generator import PT, RADIUS, TOP_MASS, W_MASS, generate
from hgq2_training.datasets.toy_jets import CLASSES, ToyJets

JETS = 600

pytestmark = pytest.mark.once


def mass_over_pt(jets):
    """Return the invariant mass of each jet's particles, taken as massless, over their transverse momentum."""
    pt, eta, phi = np.moveaxis(jets.astype(float) * [1.0, RADIUS, RADIUS], -1, 0)
    momenta = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]).sum(axis=-1)
    return np.sqrt(np.maximum(momenta[0] ** 2 - (momenta[1:] ** 2).sum(axis=0), 0)) / np.hypot(*momenta[1:3])


@pytest.mark.parametrize(("prongs", "mass"), [(2, W_MASS), (3, TOP_MASS)])
def test_jets_have_the_mass_of_what_decays(prongs, mass):
    hardest = generate(np.full(JETS, prongs), 16, seed=3)  # without most of the pile-up
    found = np.median(mass_over_pt(hardest))
    assert mass / PT[1] < found < mass / PT[0]


def test_a_quark_or_gluon_has_no_mass_of_its_own():
    spread = [
        np.subtract(*np.percentile(mass_over_pt(generate(np.full(JETS, n), 16, seed=3)), [90, 10])) for n in (1, 2)
    ]
    assert spread[0] > 2 * spread[1]


def test_particles_lie_in_the_cone_around_their_axis_in_falling_order():
    x = generate(1 + np.arange(JETS) % 3, 16, seed=0)
    momenta, angles = x[..., 0], x[..., 1:]
    assert x.dtype == np.float32 and x.shape == (JETS, 16, 3)
    assert (np.diff(momenta, axis=1) <= 0).all() and (momenta.sum(axis=1) <= 1.00001).all()
    assert (np.hypot(*np.moveaxis(angles, -1, 0)) < 1).all()
    axis = (momenta[..., None] * angles).sum(axis=1)
    assert abs(axis).max() < 0.2


def test_what_a_jet_lacks_is_zero():
    x = generate(np.full(JETS, 1), 52, seed=0)
    absent = x[..., 0] == 0
    assert absent.any() and (x[absent] == 0).all()


def test_equal_arguments_give_equal_jets_and_another_seed_gives_others():
    first, second, other = (ToyJets(jets=90, seed=seed).load() for seed in (1, 1, 2))
    assert (first.train.x == second.train.x).all() and (first.test.y == second.test.y).all()
    assert not (first.train.x == other.train.x).all()


def test_each_class_has_a_third_of_every_part():
    splits = ToyJets(jets=300, particles=4).load()
    assert splits.classes == CLASSES
    assert {name: np.bincount(part.y).tolist() for name, part in splits.parts.items()} == {
        "train": [65, 65, 65],
        "validation": [10, 10, 10],
        "test": [25, 25, 25],
    }


def test_anomalies_are_not_trained_on_and_have_no_weight():
    splits = ToyJets(jets=300, anomalies=True).load()
    assert len(splits.train) == 65 and (splits.train.y == 0).all()
    for part in (splits.validation, splits.test):
        assert set(part.y) == {0, 1}
        assert (part.weight == (part.y == 0)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"jets": 3}, "at least 30. Received: jets=3"), ({"particles": 53}, "from 1 to 52. Received: particles=53")],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ToyJets(**arguments)
