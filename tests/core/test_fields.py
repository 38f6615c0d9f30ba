"""Arguments as typed fields: the constructor, what it sets, and the constructor written by hand."""

from __future__ import annotations

import inspect
from dataclasses import KW_ONLY
from typing import Any, ClassVar, Unpack

import keras
import pytest

from hgq2_core import ConfigError, PluginError, QLayer, Quantizer
from hgq2_core.layers.arguments import InitializerArg, LayerKwargs, PositiveInt, QuantizerArg
from hgq2_core.schema.signature import parameters

pytestmark = pytest.mark.once


class Free(QLayer):
    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def ebops(self) -> Any:
        return keras.ops.zeros(())

    def exact(self, arrays: Any, *inputs: Any) -> Any:
        return inputs[0]


class Base(Free, kw_only=True):
    initializer: InitializerArg = "zeros"
    input_quantizer: QuantizerArg = None

    def setup(self) -> None:
        super().setup()
        self.input_quantizer = self.add_quantizer(self.input_quantizer, "activation", "input")


class Concrete(Base):
    kind_of_scale: ClassVar[str] = "none"
    size: PositiveInt
    flag: bool = True
    _: KW_ONLY
    gain: float = 1.0
    """Documented."""

    def setup(self) -> None:
        super().setup()
        self.area = self.size**2


class ByHand(Concrete):
    """A constructor written by hand."""

    offset: float
    """No field: the class has a constructor."""

    def __init__(self, size: PositiveInt, offset: float = 0.5, **kwargs: Unpack[LayerKwargs]) -> None:
        super().__init__(size, **kwargs)
        self.offset = offset


def test_fields_are_the_arguments():
    assert [name for name, each in parameters(Concrete).items() if not each.keyword_only] == ["size", "flag"]
    assert list(parameters(Concrete))[:5] == ["size", "flag", "gain", "initializer", "input_quantizer"]
    assert list(parameters(Concrete))[5:] == [
        "ebops_beta", "enable_ebops", "name", "dtype", "trainable", "activity_regularizer"
    ]  # fmt: skip


def test_the_signature_says_them():
    signature = inspect.signature(Concrete)
    assert list(signature.parameters)[:2] == ["size", "flag"]
    assert set(signature.parameters) == set(parameters(Concrete))
    assert signature.parameters["gain"].kind is inspect.Parameter.KEYWORD_ONLY
    assert signature.parameters["initializer"].default == "zeros"


def test_values_are_resolved_set_and_followed_by_setup():
    layer = Concrete(3, gain=2.0, initializer="ones", name="a", trainable=False)
    assert (layer.size, layer.flag, layer.gain, layer.area) == (3, True, 2.0, 9)
    assert isinstance(layer.initializer, keras.initializers.Ones)
    assert isinstance(layer.input_quantizer, Quantizer)
    assert (layer.name, layer.trainable) == ("a", False)
    assert layer.input_quantizer in layer._layers


def test_a_class_has_no_value_of_an_argument():
    assert not hasattr(Concrete, "gain")
    assert Concrete.kind_of_scale == "none"


def test_a_constructor_by_hand_gives_the_fields_of_its_bases():
    layer = ByHand(2, name="b")
    assert (layer.size, layer.offset, layer.area, layer.name) == (2, 0.5, 4, "b")
    assert list(parameters(ByHand))[:2] == ["size", "offset"]
    assert layer.get_config()["gain"] == 1.0


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Concrete(), ConfigError),
        (lambda: Concrete("3"), ConfigError),
        (lambda: Concrete(3, gian=2.0), ConfigError),
        (lambda: Concrete(3, True, 2.0), TypeError),
    ],
)
def test_wrong_arguments_are_refused(make, error):
    with pytest.raises(error):
        make()


def test_a_base_is_not_given_what_it_has_not():
    class Wrong(Concrete):
        def __init__(self, size: PositiveInt, **kwargs: Any) -> None:
            super().__init__(size, shape=3)

    with pytest.raises(TypeError) as raised:
        Wrong(3)
    assert str(raised.value) == (
        "Wrong: super().__init__() has no argument `shape`. Allowed: activity_regularizer, dtype, ebops_beta, "
        "enable_ebops, flag, gain, initializer, input_quantizer, name, size, trainable."
    )


def test_a_base_needs_what_has_no_default():
    class Wrong(Concrete):
        def __init__(self, **kwargs: Unpack[LayerKwargs]) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="needs the argument `size`"):
        Wrong(size=3)


def test_fields_below_a_constructor_by_hand_are_refused():
    with pytest.raises(PluginError) as raised:

        class Below(ByHand):
            more: int = 1

    assert str(raised.value) == (
        f"{__name__}.test_fields_below_a_constructor_by_hand_are_refused.<locals>.Below: the field `more` would not "
        "reach ByHand.__init__(), which is written by hand. Write __init__() here too, or make the arguments of ByHand "
        "fields."
    )


def test_a_layer_of_fields_survives_its_config():
    layer = Concrete(3, False, gain=2.0, initializer="ones")
    with keras.saving.custom_object_scope({"Concrete": Concrete}):
        again = Concrete.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
