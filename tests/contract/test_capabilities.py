"""Layers ask a quantizer's config for what they need; a kind with fields of its own serves them as fixed point does."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import defaults, load_model, registry
from hgq2_core.config.describe import describe
from hgq2_core.discovery.registry import Registry
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_core.quantizers.ranges import DynamicRange
from hgq2_core.testing import check_quantizer
from hgq2_fixed_point import KBI, KIF, Identity
from hgq2_fixed_point.config import FitTo
from hgq2_layers import QLSTM, QDense, QIntegrateAndFire, QUnaryFunction
from hgq2_minifloat import Float8E3M4


class Steps(QuantizerConfig):
    """Multiples of a step, in fields that no layer knows."""

    step: float = 0.125
    negative: bool = True
    clips_at: float | None = None

    def unsigned(self) -> Steps:
        """Leave the negative ones out."""
        return self.changed(negative=False)

    def saturating(self, end: float | None = None) -> Steps:
        """Clip, at 4 unless an end is asked for."""
        return self.changed(clips_at=4.0 if end is None else end)

    def build(self, slot: Slot | None = None) -> StepsQuantizer:
        """Make the Keras quantizer."""
        return StepsQuantizer(self, slot)


class StepsQuantizer(Quantizer[Steps]):
    """Rounds to the nearest step."""

    def __init__(self, config: Steps, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(config, slot, **kwargs)
        if config.clips_at is None and self.slot.role == "table":
            self.range = DynamicRange()

    def quantize(self, x: Any, training: bool = False) -> Any:
        """Round and clip."""
        end = 2.0**20 if self.config.clips_at is None else self.config.clips_at
        rounded = keras.ops.round(x / self.config.step) * self.config.step
        return keras.ops.clip(rounded, -end if self.config.negative else 0.0, end)

    def build(self, input_shape: Any) -> None:
        """Keep the shape of one sample's values, or of the weight."""
        self.value_shape = tuple(size or 1 for size in input_shape[1 if self.slot.batched else 0 :])
        super().build(input_shape)

    def bits(self, x: Any = None) -> Any:
        """Count eight."""
        return keras.ops.full(self.value_shape, 8.0)

    def exact(self, arrays: Any, x: Any) -> Any:
        """State nothing more than rounding."""
        return arrays.quantize(x, 1, 20, 3, "RND_CONV", "SAT")

    def format(self, x: Any = None) -> dict[str, Any]:
        """Return the step."""
        return {"step": np.array(self.config.step)}


def configs(layer):
    return {quantizer.slot.name: quantizer.config for quantizer in layer.quantizers}


def test_inside_a_step_the_default_of_activations_saturates():
    with defaults(activation=Steps(step=0.25)):
        recurrent, spiking = configs(QLSTM(2)), configs(QIntegrateAndFire(0.5))
    assert recurrent["input"] == spiking["input"] == Steps(step=0.25)
    assert recurrent["state"] == spiking["membrane"] == Steps(step=0.25, clips_at=4.0)


def test_the_tables_of_a_softmax_take_no_sign_and_the_inverse_saturates():
    with defaults(activation=Steps(), table=Steps(step=0.0625)):
        layer = QSoftmax()
    found = configs(layer)
    assert found["exp"] == Steps(step=0.0625, negative=False)
    assert found["inverse"] == Steps(step=0.0625, negative=False, clips_at=2.0)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    y = keras.ops.convert_to_numpy(layer(x))
    assert np.abs(y - keras.ops.convert_to_numpy(keras.ops.softmax(x))).max() < 0.25


def test_what_a_scope_says_about_the_sign_stays():
    with defaults(activation=Steps(), table=Steps(negative=True, clips_at=1.0)):
        assert configs(QSoftmax())["exp"] == Steps(clips_at=1.0)


def test_attention_and_a_recurrent_layer_compute_with_it():
    with defaults(weight=Steps(), bias=Steps(), activation=Steps(), table=Steps()):
        attention, lstm = QMultiHeadAttention(2, 3), QLSTM(2)
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32)
    for y in (attention(x, x), lstm(x)):
        values = keras.ops.convert_to_numpy(y)
        assert np.isfinite(values).all()
        assert values.any()


@pytest.mark.once
def test_a_function_that_is_never_negative_leaves_the_sign_out_of_the_default_of_tables():
    assert QUnaryFunction("sigmoid").table.quantizer.config.k == 0
    assert QUnaryFunction("tanh").table.quantizer.config.k == 1


@pytest.mark.once
def test_fixed_point_answers_with_fields_of_its_own():
    assert KIF().unsigned() == KIF(k=0)
    assert KIF(overflow_mode="WRAP_SM").unsigned() == KIF(overflow_mode="WRAP_SM")
    assert KBI(b=5, overflow_mode="WRAP").saturating() == KBI(b=5, overflow_mode="SAT_SYM")
    assert KBI(k=0, overflow_mode="WRAP").saturating(4.0) == KBI(k=0, i=2, overflow_mode="SAT")
    assert KBI(k=0).fitted() == KBI(k=0, fit_to=FitTo())
    assert KIF(f=3).indexing(9, 4.0) == KBI(
        k=0, b=9, i=2, b_bounds=(0, 9), overflow_mode="SAT", granularity="tensor", fit_to=FitTo()
    )
    assert KIF().with_bits(6, "weight") == KBI(b=5, overflow_mode="WRAP", granularity="channel")


@pytest.mark.once
def test_a_kind_that_has_no_other_form_stays_as_it_is():
    config = Float8E3M4()
    assert config.unsigned() is config.saturating(2.0) is config.with_bits(4, "weight") is config
    assert config.fitted() is config.indexing(8, 2.0) is config


@pytest.mark.once
def test_a_changed_config_leaves_unset_what_was():
    assert KIF(i=3).changed(f=2).model_fields_set == {"i", "f"}


@pytest.mark.once
def test_no_quantizer_is_a_value_of_the_core():
    assert registry.load("quantizers", "none") is NoQuantizer
    assert registry.find("none") == ("quantizers", "none")
    assert describe("none").distribution == "hgq2-core"
    layer = QMultiHeadAttention(2, 3)
    assert layer.softmax.input_quantizer.config == NoQuantizer()
    assert layer.softmax.get_config()["input_quantizer"] == {"kind": "none"}


@pytest.mark.once
def test_its_former_kind_still_means_the_same():
    layer = QDense(2, kernel_quantizer="fixed_point.none")
    assert layer.get_config()["kernel_quantizer"] == {"kind": "fixed_point.none"}
    assert isinstance(layer.kernel_quantizer.config, NoQuantizer)
    again = QDense.from_config(layer.get_config())
    assert type(again.kernel_quantizer.config) is Identity


@pytest.mark.once
def test_core_alone_has_it():
    assert Registry(()).load("quantizers", "none") is NoQuantizer


def test_it_keeps_the_rules_of_the_kit():
    check_quantizer(NoQuantizer())


def test_a_model_without_quantizers_goes_through_a_file(tmp_path):
    layer = QDense(2, kernel_quantizer="none", input_quantizer="none", bias_quantizer="none")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    assert again.layers[0].get_config() == layer.get_config()
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
