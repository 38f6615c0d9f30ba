"""No method of Keras' base has another meaning in our classes, but `Quantizer.quantize`, which says so when misused."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, QLayer, quantize_model
from hgq2_core.discovery.registry import registry
from hgq2_core.quantizers.base import Quantizer
from hgq2_layers import QDense, QReLU

BASE = keras.layers.Layer
EXCEPTIONS = {"quantize"}
"""Methods of Keras' base that mean something else here."""

SAME_MEANING = {
    *("build", "call", "compute_mask", "compute_output_shape", "compute_output_spec"),
    *("add_weight", "get_config", "from_config"),
}
"""Methods that Keras lets a layer define, or that ours extend and hand on."""


def classes() -> Iterator[type]:
    """Return every quantized layer and quantizer that is registered, and ours among their bases."""
    kinds = [kind for kind in registry().names("layers") if not kind.startswith("keras.")]
    found = [registry().load("layers", kind) for kind in kinds]
    found += [type(registry().load("quantizers", kind)().build()) for kind in registry().names("quantizers")]
    yield from dict.fromkeys(base for cls in found for base in cls.__mro__ if not is_keras(base))


def is_keras(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in ("keras", "torch", "tensorflow", "builtins", "typing")


@pytest.mark.once
def test_what_overrides_a_name_of_keras_has_its_meaning() -> None:
    theirs = {name for name in dir(BASE) if not name.startswith("__")}
    overridden = {name for cls in classes() for name in vars(cls) if name in theirs}
    assert overridden == SAME_MEANING | EXCEPTIONS


@pytest.mark.once
def test_no_attribute_of_a_layer_hides_a_method_of_keras() -> None:
    def methods(layer: Any) -> set[str]:
        return {name for name in vars(layer) if inspect.isfunction(inspect.getattr_static(BASE, name, None))}

    plain = methods(keras.layers.Layer())
    for kind in registry().names("quantizers"):
        assert methods(registry().load("quantizers", kind)().build()) <= plain
    for layer in (QDense(2), QReLU()):
        assert methods(layer) <= plain


def message(slot: str, mode: str | None) -> str:
    return (
        f"{slot}: Keras' quantize() converts layers of Keras, and this one is quantized already. "
        f"Received: mode={mode!r}. Allowed: hgq2_core.quantize_model(model, rules) for the layers of Keras in "
        "a model, or Keras' quantize() with filters that leave the quantized layers out."
    )


@pytest.fixture
def model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="plain"), QDense(2, name="ours")])


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have:UserWarning")
def test_quantize_of_keras_names_our_own(model: keras.Model) -> None:
    with pytest.raises(ConfigError) as error:
        model.quantize("int8")
    assert str(error.value) in {message(f"ours.{slot}", "int8") for slot in ("input", "kernel", "bias")}


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have:UserWarning")
def test_the_remedies_work(model: keras.Model) -> None:
    x = np.ones((3, 4), np.float32)
    assert quantize_model(model).predict(x, verbose=0).shape == (3, 2)
    model.quantize("int8", filters="plain")
    assert model.predict(x, verbose=0).shape == (3, 2)


@pytest.mark.parametrize("kind", registry().names("quantizers"))
def test_every_quantizer_knows_the_call_of_keras(kind: str) -> None:
    quantizer = registry().load("quantizers", kind)().build()
    quantizer.build((4,))
    config = keras.quantizers.Int8QuantizationConfig()
    for arguments, keywords, mode in (
        (("int8",), {}, "int8"),
        ((None,), {"type_check": True, "config": config}, None),
        ((), {"mode": "int4"}, "int4"),
        ((), {"config": config}, None),
    ):
        with pytest.raises(ConfigError) as error:
            quantizer.quantize(*arguments, **keywords)
        assert str(error.value) == message("quantizer", mode)


def test_a_quantizer_of_somebody_else_knows_it_too() -> None:
    class Theirs(Quantizer[Any]):
        def quantize(self, values: Any, training: bool = False) -> Any:
            """Halve."""
            return values / 2

        def bits(self, values: Any = None) -> Any:
            return keras.ops.ones(())

        def exact(self, arrays: Any, values: Any) -> Any:
            return arrays.shift(values, -1)

        def format(self, values: Any = None) -> dict[str, Any]:
            return {}

    quantizer = Theirs(registry().load("quantizers", "fixed_point.none")())
    assert quantizer.quantize(values=4.0) == quantizer.quantize(4.0, True) == 2.0
    assert Theirs.quantize.__doc__ == "Halve."
    with pytest.raises(ConfigError) as error:
        quantizer.quantize("int8", type_check=True, config=None)
    assert str(error.value) == message("quantizer", "int8")


@pytest.mark.once
def test_layers_inherit_what_keras_says_of_a_single_one() -> None:
    assert QLayer.quantize is BASE.quantize
