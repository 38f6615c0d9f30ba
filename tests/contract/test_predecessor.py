"""Faults of the predecessor that whole models show.

See docs/numerics.md#9; the others are named where their part is tested.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import CalibrationError, ConfigError, calibrate, defaults, ebops, freeze, verify
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense
from hgq2_minifloat import Float4E2M1FN

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32") * 3


class Subclass(QDense):
    """A subclass that changes nothing."""


def of(*layers, shape=(4,)):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), *layers])


def loss_of(model):
    model(X)
    return sum(float(numpy_of(loss)) for loss in model.losses)


def test_fault_5_a_subclass_costs_its_ebops_once():
    costs = [loss_of(of(cls(3, ebops_beta=1.0))) for cls in (QDense, Subclass, QDense, Subclass)]
    assert costs[0] > 0
    assert costs == [costs[0]] * 4


def test_fault_10_nested_models_count():
    model = of(of(QDense(3, name="inner")), QDense(2, name="outer"))
    calibrate(model, X)
    inner, outer = model.layers[0].layers[0], model.layers[1]
    assert ebops(model) == ebops(inner) + ebops(outer)
    assert ebops(inner) > 0


def test_fault_13_a_scale_is_right_with_noise_and_kept_on_export():
    small = np.array([[3, -2], [6, 1], [-4, 0], [0.5, 1.5]], np.float32) * 2.0**-12  # 0 in float4 without a scale
    scaled = Float4E2M1FN(block={"size": 4}, noise=0.25)
    model = of(QDense(2, use_bias=False, kernel_quantizer=scaled, input_quantizer=KIF(i=4, f=2, overflow_mode="SAT")))
    (layer,) = model.layers
    layer.kernel.assign(small * 1.125)
    np.testing.assert_array_equal(
        numpy_of(layer.kernel_quantizer.quantize(layer.kernel, training=True)), small * 1.09375
    )
    frozen = freeze(model)
    np.testing.assert_array_equal(numpy_of(frozen.layers[0].constants()["kernel"]), small)
    assert verify(frozen, X).mismatches == 0
    for kind in filter(is_official, registry().names("exporters")):
        assert exporter_of(kind).mismatches(frozen, X) == 0


def test_fault_14_a_scope_that_is_entered_again_leaves_nothing_behind():
    before = QDense(1).kernel_quantizer.config
    scope = defaults(weight={"kind": "fixed_point.kbi", "b": 3})
    with scope, scope:
        assert QDense(1).kernel_quantizer.config.b == 3
    assert QDense(1).kernel_quantizer.config == before


def test_fault_14_a_bad_mode_is_refused_before_anything_is_built():
    with pytest.raises(ConfigError, match=r"round_mode.*'RNDD'"):
        QDense(1, kernel_quantizer={"kind": "fixed_point.kbi", "round_mode": "RNDD"})


def test_fault_16_a_model_that_wraps_and_is_not_calibrated_is_refused():
    with pytest.raises(CalibrationError, match="uncalibrated"):
        verify(of(QDense(1, name="d", input_quantizer=KIF(overflow_mode="WRAP"))), X)


def test_fault_19_ebops_above_2_to_the_32_do_not_wrap():
    wide = {"overflow_mode": "SAT_SYM", "granularity": "tensor"}
    layer = QDense(3000, use_bias=False, kernel_quantizer=KBI(b=23, **wide), input_quantizer=KBI(b=24, **wide))
    layer.build((None, 3000))
    assert ebops(layer) == pytest.approx(3000 * 3000 * 23 * 24, rel=1e-4)
    assert 3000 * 3000 * 23 * 24 > 2**32


def test_fault_20_sums_that_float32_cannot_hold_are_reported():
    wide = {"overflow_mode": "SAT", "granularity": "tensor"}
    model = of(QDense(2, name="d", kernel_quantizer=KBI(b=16, **wide), input_quantizer=KIF(i=3, f=12, **wide)))
    report = verify(model, X)
    (row,) = (row for row in report.layers if row.name == "d")
    assert row.required_bits > 24
    assert not row.float32_enough
    assert f"d: its sums may need {row.required_bits} bits, float32 has 24" in str(report)
