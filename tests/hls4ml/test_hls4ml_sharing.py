"""Multipliers that products and positions share: what is written and refused, and what the compiled project gives."""

from __future__ import annotations

import re
import shutil

import keras
import numpy as np
import pytest

pytest.importorskip("hls4ml", reason="hls4ml is not installed: make install")

from hgq2_core import ConfigError, calibrate, defaults, estimate, export
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QConv2D, QDense, QMaxPooling2D

X = np.random.default_rng(1).normal(size=(60, 6, 6, 2)).astype(np.float32)
IN_TURN = {"strategy": "Resource", "reuse_factor": 3, "parallelization_factor": 12}


@pytest.fixture(scope="module")
def cnn():
    """A convolution over 36 positions with 18 taps each, one over 4, and a dense layer of one position."""
    keras.utils.set_random_seed(1)
    with defaults(weight=KBI(b=4, i=1), activation=KIF(i=2, f=3, overflow_mode="SAT_SYM")):
        model = keras.Sequential(
            [
                keras.Input((6, 6, 2), name="image"),
                QConv2D(3, 3, padding="same", activation="relu", bias_initializer="normal", name="conv"),
                QMaxPooling2D(2, name="pool"),
                QConv2D(2, 2, activation="relu", name="second"),
                keras.layers.Flatten(),
                QDense(3, name="dense"),
            ],
            name="cnn",
        )
    calibrate(model, X / 3)
    return model


def calls(report):
    """The functions of hls4ml that compute products, in order."""
    source = (report.path / "firmware/model.cpp").read_text()
    return re.findall(r"nnet::(pointwise_conv_1d_cl|einsum_dense|dense)<", source)


def factors(report):
    """Reuse factor and number of loops of the convolutions, in order."""
    text = (report.path / "firmware/parameters.h").read_text()
    found = re.findall(r"conv1d_config \{.*?\n\};", text, re.DOTALL)
    return [
        tuple(int(re.search(rf"{name} = (\d+)", each)[1]) for name in ("reuse_factor", "n_partitions"))
        for each in found
    ]


def test_positions_of_one_layer_are_computed_in_turn(cnn, tmp_path):
    report = export(cnn, "hls4ml", tmp_path / "out", layers={"conv": IN_TURN})
    assert calls(report) == ["pointwise_conv_1d_cl", "einsum_dense", "dense"]
    assert factors(report) == [(3, 36 // 12)]


def test_a_layer_that_shares_nothing_though_asked_to_is_named(cnn):
    assert estimate(cnn, "hls4ml").notes == ()
    assert estimate(cnn, "hls4ml", reuse_factor=2).notes == tuple(
        f"{name}: unrolled, shares no multipliers" for name in ("conv", "second")
    )
    assert estimate(cnn, "hls4ml", strategy="Resource").notes == ()


@pytest.mark.slow
def test_of_all_layers_with_the_factors_that_hls4ml_can_take(cnn, tmp_path):
    with pytest.warns(
        UserWarning, match=r"not every layer can take these factors\. Used: .*parallelization_factor [24]"
    ):
        report = export(cnn, "hls4ml", tmp_path / "out", parallelization_factor=5)
    assert calls(report) == ["pointwise_conv_1d_cl", "pointwise_conv_1d_cl", "dense"]
    assert all(36 % loops == 0 or 4 % loops == 0 for _, loops in factors(report))


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"layers": {"conv": IN_TURN}}, marks=pytest.mark.slow),
        pytest.param({"strategy": "Resource", "reuse_factor": 6}, marks=pytest.mark.nightly),
        pytest.param({"parallelization_factor": 4}, marks=pytest.mark.nightly),
    ],
)
@pytest.mark.filterwarnings("ignore:export to hls4ml. not every layer:UserWarning")
def test_the_compiled_project_gives_what_the_integers_give(options, cnn, tmp_path):
    report = export(cnn, "hls4ml", tmp_path / "out", X, **options)
    simulation = exporter_of("hls4ml").simulate(report.path)
    assert (simulation.samples, simulation.mismatches) == (len(X) + 259, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": {"con": IN_TURN}}, "layers: unknown layer 'con'. Allowed: "),
        ({"layers": {"pool": IN_TURN}}, "layers.pool: it has no product with constants whose multipliers could be "),
        (
            {"layers": {"conv": {"reuse_factor": 3}}},
            "layers.conv: it has no product with constants whose multipliers could be shared by these settings; those "
            "of several positions can by strategy=Resource or a parallelization_factor. Allowed: dense.",
        ),
        ({"layers": {"conv": {"reuse": 3}}}, "layers.conv: unknown field 'reuse'. Allowed: "),
        (
            {"layers": {"dense": IN_TURN}},
            "layers.dense.parallelization_factor: there are not several positions that one kernel could ",
        ),
        ({"parallelization_factor": 0}, "parallelization_factor: must be greater than or equal to 1. Received: 0"),
        (
            {"parallelization_factor": 2, "backend": "oneAPI"},
            "parallelization_factor: of Vitis and Vivado alone. Received: backend='oneAPI'.",
        ),
        (
            {"layers": {"conv": IN_TURN}, "backend": "Quartus"},
            "layers.conv.parallelization_factor: of Vitis and Vivado alone. Received: backend='Quartus'.",
        ),
    ],
)
def test_what_does_not_apply_is_refused(options, message, cnn):
    with pytest.raises(ConfigError, match=re.escape(f"export to hls4ml: {message}")):
        estimate(cnn, "hls4ml", **options)
