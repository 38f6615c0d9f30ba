"""First bits as lists or initializers, blocks of an axis that share bits, and regularizers as Keras has them."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, calibrate, ebops, verify
from hgq2_core.exact.integers import Integers, to_float
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense
from hgq2_minifloat import Minifloat, MXInt

PAIRS = {"axis": -1, "block": 2}
VALUES = np.random.default_rng(0).normal(0.0, 2.0, (5, 6)).astype("float32")


def numpy(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def built(config: Any, role: Any = "weight", shape: tuple[int | None, ...] = (5, 6)) -> Quantizer[Any]:
    quantizer = config.build(Slot(role, "kernel", "layer"))
    quantizer.build(shape)
    return quantizer


def test_a_list_gives_each_channel_its_first_width() -> None:
    quantizer = built(KBI(b=[1, 2, 3, 4, 5, 6], i=0, granularity="channel"))
    assert numpy(quantizer.b).tolist() == [[1, 2, 3, 4, 5, 6]]
    assert float(numpy(keras.ops.sum(quantizer.bits()))) == 5 * 21


def test_a_list_of_numpy_is_plain_data_in_files() -> None:
    config = KIF(f=np.arange(6), granularity="channel")
    back = KIF(**{name: value for name, value in json.loads(json.dumps(config.to_dict())).items() if name != "kind"})
    assert back == config
    assert config.f == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def test_an_initializer_is_clipped_to_the_bounds() -> None:
    spread = keras.initializers.RandomUniform(minval=0, maxval=100, seed=1)
    values = numpy(built(KBI(b=spread, b_bounds=(2, 7))).b)
    assert values.min() >= 2.0
    assert values.max() == 7.0
    assert len(np.unique(values)) > 2
    assert KBI(b=spread).b["kind"] == "RandomUniform"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"b": [1, "2"]}, "KBI: b: must be a list of numbers. Received: '2' (str) in it."),
        ({"b": [[1], [2, 3]]}, "KBI: b: must be a list of lists of one length. Received: [[1], [2, 3]]."),
        ({"b": []}, "KBI: b: must be a list of numbers. Received: []."),
        ({"b": [1, 50]}, "KBI: b must lie within b_bounds=[0.0, 24.0]. Received: b=50.0."),
        ({"b": {"kind": "uniform"}}, "KBI: b: unknown initializer kind. Received: 'uniform'."),
        ({"b_regularizer": -1.0}, "KBI: b_regularizer: must be 0 or more. Received: -1.0 (float)."),
        ({"b_regularizer": {"kind": "l3"}}, "KBI: b_regularizer: unknown regularizer kind. Received: 'l3'."),
        ({"granularity": {"axis": 0}}, "KBI: granularity.block: is missing."),
    ],
)
def test_what_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KBI(**config)
    assert str(caught.value).startswith(message)


def test_a_list_of_another_shape_is_refused_where_the_shape_is_known() -> None:
    with pytest.raises(ConfigError, match=r"^layer\.kernel\.b: .* Received: shape \(5,\)\. Allowed: \(1, 6\)\.$"):
        built(KBI(b=[1, 2, 3, 4, 5], granularity="channel"))
    with pytest.raises(ConfigError, match=r"which divides that of the axis, 6\. Received: granularity={axis: 1, block"):
        built(KBI(granularity={"axis": 1, "block": 4}))
    with pytest.raises(ConfigError, match=r"blocks of one size, .*{axis: 1, block: 2}, {axis: -1, block: 3}\]"):
        built(KBI(granularity=[PAIRS | {"axis": 1}, {"axis": -1, "block": 3}]))
    with pytest.raises(ConfigError, match="b is a number or a list of numbers"):
        MXInt(b={"kind": "ones"})


@pytest.mark.parametrize(
    "config",
    [
        KBI(b=[2, 3, 4], granularity=PAIRS),
        KBI(b=[2, 3, 4], overflow_mode="WRAP", granularity=[PAIRS]),
        KIF(f=[2, 3, 4], overflow_mode="WRAP", granularity=PAIRS),
        Minifloat(m=[2, 3, 4], granularity=PAIRS),
        MXInt(b=[3, 4, 5], b_bounds=(2, 8), granularity=PAIRS),
    ],
)
@pytest.mark.parametrize("role", ["weight", "activation"])
def test_blocks_of_channels_share_what_single_channels_repeat(config: Any, role: Any) -> None:
    """A block quantizes as channels with the same bits do, and its range holds the values of all its channels."""
    shape = (None, 6) if role == "activation" else (5, 6)
    quantizer = built(config, role, shape)
    q = numpy(quantizer.quantize(VALUES, training=True))
    bits = numpy(quantizer.bits(VALUES))
    assert bits.shape == shape[role == "activation" :]
    pairs = bits.reshape(-1, 3, 2)
    assert (pairs[..., 0] == pairs[..., 1]).all()
    for start in (0, 2, 4):
        part = {
            name: value[start // 2]
            for name, value in dict(config).items()
            if isinstance(value, tuple) and name in "bfm"
        }
        alone = built(config.changed(**part, granularity="tensor"), role, (*shape[:-1], 2))
        assert numpy(alone.quantize(VALUES[:, start : start + 2], training=True)).tolist() == (
            q[:, start : start + 2].tolist()
        )
    if role == "activation":
        exact = quantizer.exact(Integers(), Integers().constant(VALUES))
        assert (to_float(exact) == numpy(quantizer.quantize(VALUES))).all()


def test_a_layer_with_blocks_counts_trains_calibrates_and_is_exact(tmp_path: Any) -> None:
    model = keras.Sequential(
        [
            keras.Input((4,)),
            QDense(
                6,
                input_quantizer=KIF(f=[3, 5], i=2, granularity=PAIRS),
                kernel_quantizer=KBI(b=[2, 3, 4], granularity=PAIRS, b_regularizer={"kind": "l1", "l1": 0.5}),
                use_bias=False,
                ebops_beta=0.0,
            ),
        ]
    )
    # Bits of the inputs: 5, 5, 7, 7 of i + f; of the kernel: two channels each of 2, 3 and 4.
    assert ebops(model) == 24 * 18
    (layer,) = model.layers
    x = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
    model(x)
    assert float(numpy(sum(model.losses))) == 0.5 * (2 + 3 + 4)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = numpy(layer.kernel_quantizer.b).copy()
    model.fit(x, x @ np.ones((4, 6), "float32"), epochs=1, verbose=0)
    assert (numpy(layer.kernel_quantizer.b) != before).all()
    calibrate(model, x)
    assert verify(model, x).ok
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert ebops(back) == ebops(model)
    assert (back.predict(x, verbose=0) == model.predict(x, verbose=0)).all()
