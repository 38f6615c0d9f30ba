"""Twenty mistakes that authors of plugins make: the conformance kit names each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest
from pydantic import ConfigDict

from hgq2_core import ConfigError, QLayer
from hgq2_core.discovery.registry import registry
from hgq2_core.layers.arguments import PositiveInt
from hgq2_core.testing import (
    ConformanceError,
    check_layer,
    check_quantizer,
    layer_checks,
    parametrize_with_checks,
    quantizer_checks,
    registered,
)
from hgq2_fixed_point import KBI
from hgq2_fixed_point.quantizers import KBIQuantizer
from hgq2_layers import QDense


class Config(KBI):
    """Its Keras side is the class of the same name in `KERAS_SIDES`."""

    def build(self, slot: Any = None) -> Any:
        return KERAS_SIDES[type(self).__name__](self, slot)


class BitsWithoutGradient(Config):
    class Side(KBIQuantizer):
        def bits(self, x: Any = None) -> Any:
            return keras.ops.stop_gradient(super().bits(x))


class BitsByAddWeight(Config):
    class Side(KBIQuantizer):
        def add_bits(self, name: str, shape: Any, initial: float, *args: Any, **kwargs: Any) -> Any:
            start = keras.initializers.Constant(initial)
            return self.add_weight(name=name, shape=shape, initializer=start, autocast=False)


class ChangesItsInput(Config):
    class Side(KBIQuantizer):
        def quantize(self, x: Any, training: bool = False) -> Any:
            x[0] = 0.0
            return super().quantize(x, training)


class NoFormat(Config):
    class Side(KBIQuantizer):
        def format(self, x: Any = None) -> Any:
            return {"bits": self.bit_width}


class ForgetsSuperBuild(Config):
    class Side(KBIQuantizer):
        def build(self, input_shape: Any) -> None:
            shape = self.bit_shape(input_shape)
            self.b = self.add_bits("b", shape, 8.0, (0.0, 23.0))
            self.i = self.add_bits("i", shape, 2.0, (-23.0, 23.0))


class RoundsWithoutGradient(Config):
    class Side(KBIQuantizer):
        def quantize(self, x: Any, training: bool = False) -> Any:
            return keras.ops.round(x * 4.0) / 4.0


class BitsOfTheBatch(Config):
    class Side(KBIQuantizer):
        def bits(self, x: Any = None) -> Any:
            bits = super().bits(x)
            return bits if x is None else bits + keras.ops.zeros_like(x)


class ForgetsOverflowInExact(Config):
    class Side(KBIQuantizer):
        def exact(self, arrays: Any, x: Any) -> Any:
            return arrays.quantize(x, 1, 2, 6, "RND", "WRAP")


class OtherDtype(Config):
    class Side(KBIQuantizer):
        def quantize(self, x: Any, training: bool = False) -> Any:
            return keras.ops.cast(super().quantize(x, training), "bfloat16")


class RandomInInference(Config):
    class Side(KBIQuantizer):
        def quantize(self, x: Any, training: bool = False) -> Any:
            return super().quantize(x + keras.random.uniform(keras.ops.shape(x), 0.0, 0.5), training)


class CanBeChanged(KBI):
    model_config = ConfigDict(frozen=False)


KERAS_SIDES = {cls.__name__: cls.Side for cls in Config.__subclasses__()}
QUANTIZERS = {
    BitsWithoutGradient: "The gradient of bits() reaches the bits, so that their cost can change them. "
    "It does not: that of b is ",
    BitsByAddWeight: "The variables that bits() counts are made by add_bits(), for bounds and a separate learning "
    "rate. b comes from add_weight().",
    ChangesItsInput: "quantize() does not change its input. ",
    NoFormat: "format() returns the numbers of the format by name, for reports. AttributeError: 'Side' object has no "
    "attribute 'bit_width'",
    ForgetsSuperBuild: "build() ends with super().build(input_shape), which adds the calibration record. "
    "Side's does not.",
    RoundsWithoutGradient: "The gradient of quantize() reaches the values, by a straight-through estimator. It is ",
    BitsOfTheBatch: "bits() returns one count per element, never below 0. As activation: its shape is (200, 6, 4) for "
    "elements (6, 4).",
    ForgetsOverflowInExact: "exact() on integers equals quantize(). ",
    OtherDtype: "quantize() keeps shape and dtype. As weight: float32(6, 4) became bfloat16(6, 4).",
    RandomInInference: "Quantizing twice changes nothing. As weight: ",
    CanBeChanged: "A config cannot be changed. k could be set.",
}


class ForgetsItsCost(QLayer):
    """All by itself: a base with a cost would hand it on."""

    def __init__(self, units: PositiveInt, **kwargs: Any) -> None:
        self.units = units
        super().__init__(**kwargs)

    def call(self, inputs: Any) -> Any:
        return inputs

    def exact(self, arrays: Any, *inputs: Any) -> Any:
        return inputs[0]


class LosesAnArgument(QDense):
    def __init__(self, units: PositiveInt, gain: float = 1.0, **kwargs: Any) -> None:
        self.factor = gain
        super().__init__(units, **kwargs)


class UnannotatedArgument(QDense):
    def __init__(self, units: PositiveInt, gain=1.0, **kwargs: Any) -> None:  # type: ignore[no-untyped-def]
        self.gain = gain
        super().__init__(units, **kwargs)


@keras.saving.register_keras_serializable("authors")
class NameOfItsOwn(QDense):
    pass


class CostsTwice(QDense):
    def call(self, inputs: Any, training: Any = None) -> Any:
        self.add_loss(self.ebops_beta.value * self.ebops())
        return super().call(inputs, training)


class CostsByTheBatch(QDense):
    samples = 1

    def call(self, inputs: Any, training: Any = None) -> Any:
        self.samples = inputs.shape[0] or 1
        return super().call(inputs, training)

    def ebops(self) -> Any:
        return super().ebops() * self.samples


class QuantizerOfItsOwn(QDense):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.extra = KBI(granularity="tensor").build()
        self.extra.build(tuple(input_shape))


class AnnouncesAnotherShape(QDense):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units + 1)

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)


class ForgetsToQuantize(QDense):
    def call(self, inputs: Any, training: Any = None) -> Any:
        return keras.ops.matmul(inputs, self.kernel) + self.bias


LAYERS = {
    ForgetsItsCost: "A layer defines its cost in ebops(), which returns 0 for a free one. ForgetsItsCost defines no "
    "ebops(), so its bits cost nothing.",
    LosesAnArgument: "A constructor keeps each argument in an attribute of the same name, which get_config() reads. "
    "gain is not kept.",
    UnannotatedArgument: "UnannotatedArgument(): argument `gain` has no annotation.",
    NameOfItsOwn: "A class is saved under QLayer's Keras name, not under another one. It is registered as "
    "'authors>NameOfItsOwn': leave out register_keras_serializable.",
    CostsTwice: "The EBOPs enter the loss once, also in a subclass. CostsTwice adds ",
    CostsByTheBatch: "EBOPs are counted for one sample, for any batch size. ",
    QuantizerOfItsOwn: "Quantizers are made by add_quantizer(), which registers them for files, costs and calibration. "
    "quantizer was made in another way.",
    AnnouncesAnotherShape: "The output shape that a layer announces when a model is built is that of its outputs. "
    "Announced: (4,); computed: (3,).",
    ForgetsToQuantize: "Integers give the outputs of the frozen layer. ",
}


@pytest.fixture(autouse=True)
def _offered() -> Iterator[None]:
    """What a plugin `authors` would offer."""
    quantizers, layers = ({f"authors.{cls.__name__.lower()}": cls for cls in group} for group in (QUANTIZERS, LAYERS))
    with registered(quantizers={**quantizers, "authors.sound": Sound}, layers=layers):
        yield


class Sound(KBI):
    pass


def test_they_are_twenty() -> None:
    assert len(QUANTIZERS) + len(LAYERS) == 20


@pytest.mark.parametrize("cls", QUANTIZERS, ids=lambda cls: cls.__name__)
def test_a_mistake_in_a_quantizer(cls: type[KBI]) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_quantizer(cls(), imports=False)
    assert f"\n  {QUANTIZERS[cls]}" in str(caught.value)


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_a_mistake_in_a_layer(cls: type[QLayer]) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_layer({"kind": f"authors.{cls.__name__.lower()}", "units": 3}, (4,))
    assert LAYERS[cls] in str(caught.value)


@pytest.mark.parametrize("config", [KBI(b=4, b_bounds=(4, 4), i_bounds=(2, 2)), KBI(trainable=False), Sound(b=6)])
def test_a_sound_quantizer_breaks_no_rule(config: KBI) -> None:
    check_quantizer(config, imports=False)


@pytest.mark.parametrize("kind", ["binary", "ternary", "none", "power_of_two"])
def test_what_has_no_bits_to_train_needs_no_gradient_of_them(kind: str) -> None:
    check_quantizer(registry().load("quantizers", f"fixed_point.{kind}")(), imports=False)


def test_a_difference_shows_one_example() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_quantizer(ForgetsOverflowInExact(), imports=False)
    (line,) = [line for line in str(caught.value).splitlines() if line.startswith("  exact() on integers")]
    assert line == (
        "  exact() on integers equals quantize(). 870 of 4800 values differ, such as -3.8125 for 3.98438, "
        "of the input 4.1906."
    )


@parametrize_with_checks(quantizer_checks(KBI(b=5), imports=False))
def test_a_quantizer_by_its_checks(check: Callable[[], None]) -> None:
    check()


@parametrize_with_checks(layer_checks({"kind": "layers.dense", "units": 2}, (3,)))
def test_a_layer_by_its_checks(check: Callable[[], None]) -> None:
    check()


@parametrize_with_checks(
    [check for check in quantizer_checks(CanBeChanged(), imports=False) if check.id in ("is_frozen", "is_idempotent")],
    {"is_frozen": "its author wants it so"},
)
def test_a_known_fault_by_its_checks(check: Callable[[], None]) -> None:
    check()


def test_an_expected_failure_of_no_rule_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parametrize_with_checks(list(quantizer_checks(KBI(), imports=False))[:3], {"is_frozn": "a typing error"})
    assert str(caught.value) == (
        "parametrize_with_checks: there is no such rule. Received: 'is_frozn'. Allowed: is_a_config, is_frozen, "
        "is_strict. Did you mean 'is_frozen'?"
    )
