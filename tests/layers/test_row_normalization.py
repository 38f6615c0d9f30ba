"""Layer, RMS and group normalization: equal to an independent statement, to Keras' own, and costed as by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of, unit_values
from differentiation import differentiate
from selection import few

from hgq2_core import ConfigError, calibrate, defaults, ebops, fit_ranges, freeze, load_model, quantize_model, verify
from hgq2_fixed_point import KBI, KIF, quantize
from hgq2_layers import QGroupNormalization, QLayerNormalization, QRMSNormalization

FORMATS = {
    "input": (1, 2, 3),
    "mean": (1, 2, 4),
    "difference": (1, 2, 2),
    "variance": (0, 2, 4),
    "table": (0, 3, 5),
    "normalized": (1, 1, 4),
    "output": (1, 3, 3),
}
SLOTS = {
    f"{name}_quantizer": KIF(k=k, i=i, f=f, overflow_mode="SAT", granularity="tensor")
    for name, (k, i, f) in FORMATS.items()
}
RMS_SLOTS = {name: config for name, config in SLOTS.items() if name not in ("mean_quantizer", "difference_quantizer")}


def rounded(name, x):
    return quantize(x, *FORMATS[name], "RND", "SAT")


def normalized(x, axes, epsilon, reciprocal, centered=True):
    """Return p, of float64 inputs, by the plain function."""
    q = rounded("input", x)
    d = q
    if centered:
        d = rounded("difference", q - rounded("mean", q.sum(axes, keepdims=True) * reciprocal))
    v = rounded("variance", (d * d).sum(axes, keepdims=True) * reciprocal)
    return rounded("normalized", d * rounded("table", 1 / np.sqrt(v + epsilon)))


def make(layer, *shape):
    """Return a model of the layer with uneven gamma and beta, which are on a grid."""
    model = keras.Sequential([keras.Input(shape), layer])
    for weight in (layer.gamma, getattr(layer, "beta", None)):
        if weight is not None:
            weight.assign(np.linspace(-1, 1.25, int(np.prod(weight.shape))).reshape(weight.shape).round(2) + 0.5)
    return model


def weight(layer, name):
    value = numpy_of(layer.constants()[name]).astype(np.float64)
    return value.reshape(layer.spread_shape)


def inputs(*shape):
    x = unit_values(*shape) * 2
    x[0] = 0  # the variance that looks up 1 / sqrt(epsilon)
    return x


def test_the_layers_compute_the_equation():
    x = inputs(64, 3, 4)
    layer = QLayerNormalization(name="norm", **SLOTS)
    model = make(layer, 3, 4)
    p = normalized(x.astype(np.float64), (2,), 1e-3, 0.25)
    expected = rounded("output", p * weight(layer, "gamma") + weight(layer, "beta"))
    assert (numpy_of(model(x)) == expected).all()
    assert (freeze(model).predict(x, verbose=0) == expected).all()
    assert verify(model, x).mismatches == 0

    layer = QRMSNormalization(epsilon=0.01, name="norm", reciprocal_quantizer=KBI(b=6, i=0), **RMS_SLOTS)
    model = make(layer, 3, 5)
    x = inputs(64, 3, 5)
    p = normalized(x.astype(np.float64), (2,), 0.01, np.round(0.8 * 64) / 64 / 4, centered=False)
    assert (numpy_of(model(x)) == rounded("output", p * weight(layer, "gamma"))).all()
    assert verify(model, x).mismatches == 0

    layer = QGroupNormalization(2, axis=1, center=False, name="norm", **SLOTS)
    model = make(layer, 4, 8)
    x = inputs(64, 4, 8)
    p = normalized(x.astype(np.float64).reshape(-1, 2, 2, 8), (2, 3), 1e-3, 1 / 16).reshape(x.shape)
    assert (numpy_of(model(x)) == rounded("output", p * weight(layer, "gamma"))).all()
    assert verify(model, x).mismatches == 0


@pytest.mark.once
def test_the_cost_is_as_by_hand():
    # B: inputs 4, mean 5, difference 5, variance 6, table 7, normalized 6, gamma 4, beta 3.
    sat = {"overflow_mode": "SAT", "granularity": "tensor"}
    slots = {
        "input_quantizer": KIF(i=2, f=1, **sat),
        "mean_quantizer": KIF(i=2, f=2, **sat),
        "difference_quantizer": KIF(i=2, f=2, **sat),
        "variance_quantizer": KIF(k=0, i=2, f=4, **sat),
        "table_quantizer": KBI(k=0, b=7, **sat),
        "normalized_quantizer": KIF(i=2, f=3, **sat),
        "gamma_quantizer": KBI(b=4),
        "beta_quantizer": KBI(b=3),
    }
    rows = 0.65 * (8 * 4 - 2 * 4) + 8 * 5 + 8 * 5**2 + 1e-4 * 2 * 2**6 * 7 + 8 * 5 * 7
    model = make(QLayerNormalization(name="norm", **slots), 2, 4)
    assert ebops(model) == pytest.approx(rows + 8 * 6 * 4 + 8 * 3)
    model = make(QLayerNormalization(name="norm", parallelization_factor=1, ebops_factor=3.0, **slots), 2, 4)
    assert ebops(model) == pytest.approx((rows + 8 * 6 * 4 + 8 * 3) / 2 * 3)
    model = make(QLayerNormalization(center=False, scale=False, name="norm", **slots), 2, 4)
    assert ebops(model) == pytest.approx(rows)
    group = QGroupNormalization(2, name="norm", **slots)
    assert ebops(make(group, 2, 4)) == pytest.approx(rows + 8 * 6 * 4 + 8 * 3)
    # Three in a row: two products with the reciprocal, of the sums' derived bits.
    model = make(QLayerNormalization(center=False, scale=False, name="norm", reciprocal_quantizer="kbi", **slots), 3)
    sums = 0.65 * (3 * 4 - 4) + (4 + np.log2(3)) * 8 + 3 * 5
    roots = 3 * 5**2 + (10 + np.log2(3)) * 8 + 1e-4 * 2**6 * 7 + 3 * 5 * 7
    assert ebops(model) == pytest.approx(sums + roots, rel=1e-6)
    # What is `none` has the bits that follow: a difference max(4, 5) + 1, a product 4 + 7.
    none = dict.fromkeys(("difference_quantizer", "normalized_quantizer"), "none")
    model = make(QLayerNormalization(center=False, name="norm", **{**slots, **none}), 4)
    sums = 0.65 * (4 * 4 - 4) + 4 * 5
    roots = 4 * 6**2 + 1e-4 * 2**6 * 7 + 4 * 6 * 7 + 4 * 13 * 4
    assert ebops(model) == pytest.approx(sums + roots)
    rms = {name: slots[name] for name in slots if name.split("_")[0] not in ("mean", "difference", "beta")}
    model = make(QRMSNormalization(name="norm", **rms), 4)
    assert ebops(model) == pytest.approx(4 * 4**2 + 1e-4 * 2**6 * 7 + 4 * 4 * 7 + 4 * 6 * 4)


TWINS = {
    "last axis": (keras.layers.LayerNormalization, {}, (3, 8)),
    "two axes": (keras.layers.LayerNormalization, {"axis": [1, 2]}, (3, 4)),
    "an axis of one": (keras.layers.LayerNormalization, {"axis": [1, 2]}, (1, 4)),
    "first axis": (keras.layers.LayerNormalization, {"axis": 1, "center": False, "scale": False}, (4, 3)),
    "mean square": (keras.layers.RMSNormalization, {"epsilon": 1e-3}, (3, 8)),
    "mean square of the first": (keras.layers.RMSNormalization, {"axis": 1}, (6, 3)),
    "groups": (keras.layers.GroupNormalization, {"groups": 2}, (4, 8)),
    "groups in front": (keras.layers.GroupNormalization, {"groups": 2, "axis": 1, "scale": False}, (4, 3, 2)),
    "groups before the last": (keras.layers.GroupNormalization, {"groups": -1, "axis": -2}, (2, 8)),
}


def floats_of(model, layer, x):
    """Return what Keras computes; on torch it normalizes the last axes alone, so here in numpy where it can be."""
    if isinstance(layer, keras.layers.GroupNormalization):
        return model.predict(x, verbose=0)
    axes = tuple(axis % x.ndim for axis in layer.axis)
    spread = tuple(size if axis in axes else 1 for axis, size in enumerate(x.shape))[1:]
    rms = isinstance(layer, keras.layers.RMSNormalization)
    d = x if rms else x - x.mean(axes, keepdims=True)
    y = d / np.sqrt((d**2).mean(axes, keepdims=True) + layer.epsilon)
    gamma, beta = (layer.scale, None) if rms else (layer.gamma, layer.beta)
    y = y if gamma is None else y * numpy_of(gamma).reshape(spread)
    return y if beta is None else y + numpy_of(beta).reshape(spread)


@pytest.mark.parametrize("twin", few(TWINS, "two axes", "mean square", "groups"))
def test_converted_from_keras(twin, tmp_path):
    cls, arguments, shape = TWINS[twin]
    plain = keras.Sequential([keras.Input(shape), cls(name="norm", **arguments)])
    for variable in plain.layers[0].weights:
        variable.assign(numpy_of(variable) + 0.3 * unit_values(*variable.shape))
    x = unit_values(256, *shape) * 1.5 + 0.5
    model = quantize_model(plain, [], bits=12)
    fit_ranges(model, x)
    calibrate(model, x)
    expected = floats_of(plain, plain.layers[0], x)
    found = model.predict(x, verbose=0)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.01
    model.save(tmp_path / "model.keras")
    assert (load_model(tmp_path / "model.keras").predict(x, verbose=0) == found).all()
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert (load_model(tmp_path / "frozen.keras").predict(x, verbose=0) == frozen.predict(x, verbose=0)).all()
    report = verify(model, 10 * unit_values(1000, *shape))  # outside of the calibrated ranges too
    assert (report.mismatches, report.samples) == (0, 1000)


def test_gradients_are_those_of_keras_where_steps_are_small():
    fine = {"k": 1, "i": 6, "f": 14, "overflow_mode": "SAT", "granularity": "tensor"}
    slots = {f"{name}_quantizer": KIF(**fine) for name in ("input", "mean", "difference", "normalized", "variance")}
    layer = QLayerNormalization(name="norm", table_quantizer=KIF(**fine), **slots)
    layer.build((None, 8))
    plain = keras.layers.LayerNormalization(name="plain")
    plain.build((None, 8))
    x, above = unit_values(6, 8), unit_values(6, 8, seed=2)
    value, gradient = differentiate(lambda x: layer(x, training=True), x, upstream=above)
    expected, slope = differentiate(plain, x, upstream=above)
    np.testing.assert_allclose(value, expected, atol=2e-3)
    np.testing.assert_allclose(gradient, slope, atol=2e-3)


@pytest.mark.once
def test_a_row_of_zeros_looks_up_the_largest_entry_and_does_not_widen_the_range():
    layer = QLayerNormalization(name="norm")
    model = make(layer, 4)
    x = unit_values(64, 4)
    fit_ranges(model, x)
    width = numpy_of(layer.table_quantizer.variables[1])
    x[::2] = 1.0
    fit_ranges(model, x)
    assert (numpy_of(layer.table_quantizer.variables[1]) <= width).all()
    calibrate(model, x)
    stored = freeze(model).layers[-1].stored()
    entries, points = (numpy_of(stored[name]) for name in ("table", "table_inputs"))
    assert points[0] == 0
    assert entries[0] == entries.max() < 1 / np.sqrt(1e-3)
    assert len(points) <= 2**12


@pytest.mark.once
def test_entries_are_rounded_once_from_float64():
    slots = {**SLOTS, "table_quantizer": KBI(k=0, b=20, i=5, round_mode="RND", overflow_mode="SAT")}
    layer = QLayerNormalization(name="norm", **slots)
    frozen = freeze(make(layer, 4)).layers[-1].stored()
    points, entries = numpy_of(frozen["table_inputs"]), numpy_of(frozen["table"])
    wide = 1 / np.sqrt(points.astype(np.float64) + 1e-3)
    assert (entries == quantize(wide, 0, 5, 15, "RND", "SAT")).all()


@pytest.mark.once
def test_masks_pass_unless_they_leave_out_elements_of_a_row():
    masked = keras.layers.Masking(name="hidden")(keras.Input((3, 4), name="steps"))
    for layer in (QLayerNormalization(name="norm"), QRMSNormalization(name="norm")):
        assert layer(masked)._keras_mask is not None
    for layer in (
        QLayerNormalization(axis=1, name="norm", reciprocal_quantizer="kbi"),
        QGroupNormalization(2, name="norm", reciprocal_quantizer="kbi"),
    ):
        with pytest.raises(ConfigError) as caught:
            layer(masked)
        assert str(caught.value) == (
            "norm: takes no mask: all elements of a row count in its statistics. Received: one, which an earlier "
            "layer, such as Masking or Embedding(mask_zero=True), makes. Let the padding be zeros in the data, and "
            "leave Masking and mask_zero=True out."
        )


REFUSED = [
    (
        lambda: QLayerNormalization(name="norm").build((None, 6)),
        "norm: an average of 6 elements is exact once its reciprocal is quantized. Received: "
        "reciprocal_quantizer=None. Allowed: a quantizer of weights, such as 'kbi', or a power of two of elements in "
        "a row.",
    ),
    (
        lambda: QLayerNormalization(axis=(1, -1), name="norm").build((None, 4)),
        "norm: `axis` names axes of the input, each once, of static size, and not the batch. Received: axis=(1, -1) "
        "for shape (None, 4).",
    ),
    (
        lambda: QGroupNormalization(3, name="norm").build((None, 4)),
        "norm: 3 groups of equal size need that many channels, or a multiple of them, and every axis but the batch's "
        "a static size. Received: groups=3, axis=-1 for shape (None, 4).",
    ),
    (
        lambda: QRMSNormalization(name="norm", variance_quantizer="none"),
        "norm: the variance is the input of a lookup table. Received: variance_quantizer='none'. Allowed: a quantizer "
        "with few values, such as an unsigned 'kbi', or None for the default.",
    ),
    (
        lambda: QRMSNormalization(name="norm", parallelization_factor=3).build((None, 2, 4)),
        "norm: parallelization_factor is at most the number of output positions. Received: parallelization_factor=3. "
        "Allowed: 1 to 2.",
    ),
]


@pytest.mark.once
@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_is_refused(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.once
def test_a_table_that_follows_its_entries_is_refused_and_replaced_where_it_is_the_default():
    with pytest.raises(ConfigError, match="norm: table_quantizer must saturate, because a variance of 0 looks up"):
        QLayerNormalization(name="norm", table_quantizer=KBI(overflow_mode="WRAP"))
    with defaults(table=KBI(overflow_mode="WRAP")):
        config = QLayerNormalization(name="norm").table_quantizer.config
    assert (config.k, config.i, config.overflow_mode) == (0, 2, "SAT")
    with defaults(table=KBI(b=6, i=1, k=1)):
        config = QLayerNormalization(name="norm").table_quantizer.config
    assert (config.k, config.b, config.i) == (1, 6, 1)
