"""The conformance kit itself: each rule catches a quantizer or a layer that is wrong in this one respect."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest
from pydantic import ConfigDict

from hgq2_core import ConfigError, ExactnessError, QLayer
from hgq2_core.layers.arguments import PositiveInt
from hgq2_core.testing import ConformanceError, check_layer, check_quantizer, registered
from hgq2_fixed_point import KBI
from hgq2_fixed_point.quantizers import KBIQuantizer
from hgq2_layers import QDense

counter = itertools.count()


class Unfrozen(KBI):
    model_config = ConfigDict(frozen=False)


class TakesText(KBI):
    model_config = ConfigDict(strict=False)


class TakesNaN(KBI):
    model_config = ConfigDict(allow_inf_nan=True)
    gain: float = 1.0


class Forgetful(KBI):
    def to_dict(self, only_set: bool = False) -> dict[str, Any]:
        return {name: value for name, value in super().to_dict(only_set).items() if name != "b"}


class Undescribed(KBI):
    function: Callable[[float], float] | None = None


class NoSigns(KBI):
    def unsigned(self) -> Any:
        return None


class Falls(KBI):
    def values(self) -> list[float]:
        return [1.0, -1.0]


class NoQuantizer(KBI):
    def build(self, slot: Any = None) -> Any:
        return keras.layers.Identity()


class OtherConfig(KBI):
    def build(self, slot: Any = None) -> Any:
        return KBIQuantizer(KBI(b=3), slot)


class Wrong(KBI):
    """Its Keras side is the class that `fault` names."""

    fault: str

    def build(self, slot: Any = None) -> Any:
        return FAULTS[self.fault](self, slot)


class Halves(KBIQuantizer):
    def quantize(self, x: Any, training: bool = False) -> Any:
        return super().quantize(x, training) * 0.5


class Flattens(KBIQuantizer):
    def quantize(self, x: Any, training: bool = False) -> Any:
        return keras.ops.reshape(super().quantize(x, training), (-1,))


class Narrows(KBIQuantizer):
    def quantize(self, x: Any, training: bool = False) -> Any:
        return keras.ops.cast(super().quantize(x, training), "float16")


class NegativeBits(KBIQuantizer):
    def bits(self, x: Any = None) -> Any:
        return super().bits(x) - 100.0


class OneCount(KBIQuantizer):
    def bits(self, x: Any = None) -> Any:
        return keras.ops.sum(super().bits(x))


class OtherIntegers(KBIQuantizer):
    def exact(self, arrays: Any, x: Any) -> Any:
        return arrays.quantize(x, 1, 2, 6, "TRN", "SAT_SYM")


class OtherRange(KBIQuantizer):
    def check_range(self, x: Any) -> Any:
        check = super().check_range(x)
        return check._replace(high=check.high / 2)


class TrimsAll(KBIQuantizer):
    def trim(self, x: Any) -> None:
        self.b.assign(keras.ops.zeros_like(self.b))


class NoGradient(KBIQuantizer):
    def quantize(self, x: Any, training: bool = False) -> Any:
        return x + keras.ops.stop_gradient(super().quantize(x, training) - x)


class ForgetsItsMode(KBIQuantizer):
    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "config": {**config["config"], "overflow_mode": "SAT_ZERO", "fault": "sound"}}


class ListsLess(KBIQuantizer):
    def grid(self, most: int) -> Any:
        return super().grid(most)[1:]


class ReachesFurther(KBIQuantizer):
    def span(self, x: Any = None) -> Any:
        return super().span(x)._replace(largest=0.5)


class CostsTwice(KBIQuantizer):
    def quantize_with_cost(self, x: Any, training: bool = False) -> Any:
        found = super().quantize_with_cost(x, training)
        return found._replace(bits=2 * found.bits)


class NoName(KBIQuantizer):
    def format_name(self) -> Any:
        return None


FAULTS = {
    **{"lists less": ListsLess, "reaches further": ReachesFurther, "costs twice": CostsTwice, "no name": NoName},
    **{"halves": Halves, "flattens": Flattens, "narrows": Narrows, "negative bits": NegativeBits},
    **{"one count": OneCount, "other integers": OtherIntegers, "no gradient": NoGradient},
    **{"forgets its mode": ForgetsItsMode, "other range": OtherRange, "trims all": TrimsAll, "sound": KBIQuantizer},
}

QUANTIZERS = [
    (Unfrozen(), "A config cannot be changed. k could be set."),
    (TakesText(), "A config refuses unknown fields, text for numbers, and NaN. i_decay='0.01' was accepted."),
    (TakesNaN(), "A config refuses unknown fields, text for numbers, and NaN. gain=nan was accepted."),
    (Forgetful(b=5), "A config becomes plain data, from which an equal config is made. "),
    (Undescribed(), "A config has a JSON schema with all its fields. PydanticInvalidForJsonSchema: "),
    (
        NoSigns(),
        "unsigned() and the other variants of a config are configs, or are refused as one. unsigned gave None.",
    ),
    (
        Falls(),
        "grid() and values() list values that rise, grid() all that quantize() returns. values() does not",
    ),
    (
        Wrong(fault="lists less"),
        "grid() and values() list values that rise, grid() all that quantize() returns. grid() lacks 1 v",
    ),
    (
        Wrong(fault="reaches further"),
        "No value is larger than span() says, and all are multiples of its step. As weight: ",
    ),
    (
        Wrong(fault="costs twice"),
        "quantize_with_cost() returns the values of quantize(), and the bits of bits(). As weight: [16.]",
    ),
    (
        Wrong(fault="no name"),
        "format() returns the numbers of the format by name, for reports. As weight: format_name() gave ",
    ),
    (NoQuantizer(), "build() returns a Quantizer that keeps config and slot. build() gave <Identity name="),
    (OtherConfig(), "build() returns a Quantizer that keeps config and slot. Its config is KBI("),
    (Wrong(fault="halves"), "Quantizing twice changes nothing. As weight: "),
    (Wrong(fault="flattens"), "quantize() keeps shape and dtype. As weight: float32(6, 4) became float32(24,)."),
    (Wrong(fault="narrows"), "quantize() keeps shape and dtype. As weight: float32(6, 4) became float16(6, 4)."),
    (Wrong(fault="negative bits"), "bits() returns one count per element, never below 0. As weight: -92.0 bits."),
    (Wrong(fault="one count"), "bits() returns one count per element, never below 0. As weight: its shape is () for "),
    (Wrong(fault="other integers"), "exact() on integers equals quantize(). "),
    (
        Wrong(fault="other range"),
        "The values of quantize() lie in the range of check_range(), if there is one. As weight",
    ),
    (Wrong(fault="trims all"), "trim() leaves quantized weights as they are, and adds no bits. "),
    (
        Wrong(fault="no gradient"),
        "Training changes every trainable variable, unless its bounds coincide. b, i did not ",
    ),
    (
        Wrong(fault="forgets its mode"),
        "A quantizer made from get_config() and the weights computes the same bits. As weight",
    ),
]


@pytest.fixture(autouse=True)
def _offered() -> Iterator[None]:
    """What a plugin `faults` would offer."""

    def of(base: type) -> dict[str, type]:
        own = [cls for cls in globals().values() if isinstance(cls, type) and cls.__module__ == __name__]
        return {f"faults.{cls.__name__.lower()}": cls for cls in own if issubclass(cls, base) and cls is not Stranger}

    with registered(quantizers=of(KBI), layers=of(QLayer)):
        yield


@pytest.mark.parametrize(("config", "finding"), QUANTIZERS, ids=[finding for _, finding in QUANTIZERS])
def test_a_wrong_quantizer(config: KBI, finding: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_quantizer(config, imports=False)
    assert f"\n  {finding}" in str(caught.value)


def test_a_fault_in_one_place_is_one_finding() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_quantizer(Wrong(fault="other integers"), imports=False)
    assert len(str(caught.value).splitlines()) == 2


def test_a_sound_quantizer() -> None:
    check_quantizer(Wrong(fault="sound"), imports=False)


def test_bits_without_room_need_not_move() -> None:
    check_quantizer(KBI(b=6, b_bounds=(6, 6)), imports=False)
    check_quantizer(KBI(trainable=False), imports=False)


@pytest.mark.once
def test_a_config_module_that_imports_a_backend() -> None:
    with pytest.raises(ConformanceError, match=rf"imports no backend\. {__name__} imports keras"):
        check_quantizer(Wrong(fault="sound"))


class Stranger(KBI):
    pass


def test_a_quantizer_that_no_plugin_offers() -> None:
    with pytest.raises(ConformanceError, match="Stranger cannot be saved: no installed plugin offers it"):
        check_quantizer(Stranger(), imports=False)


class Sound(QDense):
    pass


@keras.saving.register_keras_serializable("faults")
class OwnName(QDense):
    pass


class AnyUnits(QDense):
    def __init__(self, units: Any, **kwargs: Any) -> None:
        super().__init__(int(units), **kwargs)


class UndescribedArgument(QDense):
    def __init__(self, units: PositiveInt, function: Callable[[float], float] | None = None, **kwargs: Any) -> None:
        self.function = function
        super().__init__(units, **kwargs)


class ChangesArgument(QDense):
    def __init__(self, units: PositiveInt, gain: float = 1.0, **kwargs: Any) -> None:
        self.gain = gain * 2
        super().__init__(units, **kwargs)


class CannotBuild(QDense):
    def build(self, input_shape: Any) -> None:
        raise ConfigError("there is no such thing")


class CostsTwice(QDense):
    def call(self, inputs: Any, training: Any = None) -> Any:
        self.add_loss(self.ebops_beta.value * self.ebops())
        return super().call(inputs, training)


class SubclassCostsTwice(QDense):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        call = cls.call

        def costs_again(self: Any, inputs: Any, training: Any = None) -> Any:
            self.add_loss(self.ebops_beta.value * self.ebops())
            return call(self, inputs, training)

        cls.call = costs_again  # as the predecessor wraps each subclass once more


class HoldsItsBits(QDense):
    """No gradient reaches the bits of the weights; those of the inputs are trained."""

    def constants(self, training: bool = False) -> Any:
        constants = super().constants(training)
        return constants if self.frozen else keras.tree.map_structure(keras.ops.stop_gradient, constants)

    def ebops(self) -> Any:
        return keras.ops.stop_gradient(super().ebops())


class TrainsInside(QDense):
    """One inside is not told that nothing is to be trained."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.inner = keras.layers.Dense(1, use_bias=False, name="inner")
        self.inner.build(input_shape)


class LosesState(QDense):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.state = next(counter)

    def call(self, inputs: Any, training: Any = None) -> Any:
        return super().call(inputs, training) + self.state


class OtherSum(QDense):
    def exact(self, arrays: Any, *inputs: Any) -> Any:
        return arrays.add(super().exact(arrays, *inputs), arrays.constant(2.0**-9))


LAYERS = [
    (
        OwnName,
        "A class is saved under QLayer's Keras name, not under another one. It is registered as 'faults>OwnName'",
    ),
    (AnyUnits, "A constructor refuses unknown arguments, text for numbers, and NaN. units='3' was accepted."),
    (UndescribedArgument, "A constructor has a JSON schema with all its arguments. PydanticInvalidForJsonSchema: "),
    (ChangesArgument, "get_config() returns the kind and every argument. gain came back changed."),
    (CannotBuild, "The layer can be built, called and calibrated. ConfigError: there is no such thing"),
    (CostsTwice, "The EBOPs enter the loss once, also in a subclass. CostsTwice adds "),
    (SubclassCostsTwice, "The EBOPs enter the loss once, also in a subclass. SubclassCostsTwiceSubclass adds "),
    (
        HoldsItsBits,
        "Training on a loss and the EBOPs changes bits of every quantizer, unless their bounds coincide. "
        "The bits of checked.bias, checked.kernel did not change.",
    ),
    (
        TrainsInside,
        "A layer made with trainable=False has no trainable variables, nor do its sublayers. "
        "A model of it trains checked/inner/kernel.",
    ),
    (LosesState, "A layer that is saved and loaded computes the same bits. "),
    (
        OtherSum,
        "Integers give the outputs of the frozen layer. "
        "arithmetic differs: 1000 mismatches in 1000 samples (integers != Keras).",
    ),
]


@pytest.mark.parametrize(("cls", "finding"), LAYERS, ids=[cls.__name__ for cls, _ in LAYERS])
def test_a_wrong_layer(cls: type, finding: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_layer({"kind": f"faults.{cls.__name__.lower()}", "units": 3}, (4,))
    assert f"\n  {finding}" in str(caught.value)


class Exporter:
    def estimate(self, model: keras.Model, **options: Any) -> Any:
        raise AssertionError("the conformance kit estimates nothing")

    def export(self, model: keras.Model, directory: Any, x: Any = None, **options: Any) -> Any:
        raise AssertionError("the conformance kit writes nothing")

    def simulate(self, directory: Any) -> Any:
        raise AssertionError("the conformance kit simulates nothing")


class CrookedExporter(Exporter):
    def mismatches(self, model: keras.Model, x: Any) -> int:
        return 3


class PickyExporter(Exporter):
    def mismatches(self, model: keras.Model, x: Any) -> int:
        raise ExactnessError("checked: there is no circuit for this.")


def test_a_layer_that_an_exporter_computes_otherwise() -> None:
    with registered(exporters={"faults.crooked": CrookedExporter}), pytest.raises(ConformanceError) as caught:
        check_layer({"kind": "sound", "units": 3}, (4,))
    assert (
        "\n  The circuits of all installed exporters equal the integers, unless an exporter refuses the layer. "
        "The circuit of faults.crooked differs in 3 of 1000 samples."
    ) in str(caught.value)


def test_a_layer_that_an_exporter_refuses_may_be_sound() -> None:
    with registered(exporters={"faults.picky": PickyExporter}):
        check_layer({"kind": "sound", "units": 3}, (4,))


def test_a_sound_layer() -> None:
    check_layer({"kind": "sound", "units": 3, "activation": "relu"}, (4,))


def test_an_adapter_is_no_layer() -> None:
    with pytest.raises(ConformanceError, match=r"^keras\.Flatten: FlattenAdapter is not a QLayer\.$"):
        check_layer({"kind": "keras.Flatten"}, (4,))
