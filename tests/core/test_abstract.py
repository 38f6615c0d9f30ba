"""What a plugin's class must define: refused when it is instantiated, in one voice with `hgq2 plugins --check`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import keras
import pytest

from hgq2_core import HGQ2Error, KerasAdapter, QLayer, QuantizerConfig
from hgq2_core.data import Dataset
from hgq2_core.errors import IncompleteError
from hgq2_core.exporting.exporter import Exporter
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.none import NoQuantizer
from hgq2_core.testing.protocols import PROTOCOLS


class Unbuilt(QuantizerConfig):
    """Lacks `build`."""


class Rounds(Quantizer[Any]):
    """Lacks all but `quantize`."""

    def quantize(self, x: Any, training: bool = False) -> Any:
        """Round."""
        return keras.ops.round(x)


class WithCost(Quantizer[Any]):
    """Lacks all but `quantize_with_cost`."""

    def quantize_with_cost(self, x: Any, training: bool = False) -> Any:
        """Return nothing."""


class Nothing(QLayer):
    """Lacks `call`."""

    def ebops(self) -> Any:
        """Return 0."""
        return 0.0


class OfBefore(QLayer):
    """Lacks `ebops` and `exact`."""

    def call(self, x: Any) -> Any:
        """Return x."""
        return x


class Complete(OfBefore):
    """Lacks nothing."""

    def ebops(self) -> Any:
        """Return 0."""
        return 0.0

    def exact(self, arrays: Any, *inputs: Any) -> Any:
        """Return x."""
        return inputs[0]


class Sized(Complete):
    """A base of a plugin's own layers, which must say how large they are."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of units."""


class Unsized(Sized):
    """Lacks `size`."""


class Adapter(KerasAdapter):
    """Lacks `exact`."""


class Half(Exporter):
    """Lacks two methods."""

    def estimate(self, model: Any, **options: Any) -> Any:
        """Return nothing."""

    def export(self, model: Any, directory: Any, x: Any = None, **options: Any) -> Any:
        """Return nothing."""


class Empty(Dataset):
    """Lacks `load`."""

    def __init__(self, samples: int = 1) -> None:
        self.samples = samples


INCOMPLETE = [
    ("quantizers", Unbuilt, Unbuilt, "build()", "quantizer"),
    ("quantizers", None, lambda: Rounds(NoQuantizer()), "bits(), exact(), format()", "quantizer"),
    ("quantizers", None, lambda: WithCost(NoQuantizer()), "bits(), exact(), format()", "quantizer"),
    ("layers", Nothing, Nothing, "call(), exact()", "layer"),
    ("layers", Unsized, Unsized, "size()", "layer"),
    ("adapters", Adapter, Adapter, "exact()", "adapter"),
    ("exporters", Half, Half, "simulate(), mismatches()", "exporter"),
    ("datasets", Empty, lambda: Empty(3), "load()", "dataset"),
]
IDS = [f"{group} {missing}" for group, _, _, missing, _ in INCOMPLETE]


@pytest.mark.once
@pytest.mark.parametrize(("group", "cls", "make", "missing", "guide"), INCOMPLETE, ids=IDS)
def test_an_incomplete_class_is_refused_when_it_is_made(group, cls, make, missing, guide):
    with pytest.raises(IncompleteError) as error:
        make()
    assert isinstance(error.value, HGQ2Error | TypeError)
    name, _, rest = str(error.value).partition(" ")
    assert name in globals()
    assert rest == f"does not define {missing}. The protocol and complete files: docs/extending/{guide}.md"
    if cls is not None:
        assert PROTOCOLS[group](cls) == f"does not define {missing}."


@pytest.mark.once
def test_a_config_from_a_file_is_refused_too():
    with pytest.raises(IncompleteError, match=r"^Unbuilt does not define build\(\)\."):
        Unbuilt.model_validate({})


@pytest.mark.once
def test_a_layer_of_before_is_warned_of_and_trains():
    with pytest.warns(FutureWarning) as warned:
        layer = OfBefore(name="before")
    (message,) = [str(each.message) for each in warned]
    assert message == (
        "OfBefore does not define ebops(), exact(). The protocol and complete files: docs/extending/layer.md It trains "
        "in this version; the next one refuses it."
    )
    assert float(layer(keras.ops.ones((2, 3)))[0, 0]) == 1.0
    assert PROTOCOLS["layers"](OfBefore) == "does not define ebops(), exact()."


@pytest.mark.once
def test_a_complete_layer_says_nothing():
    assert Complete.missing_methods() == []
    assert float(Complete()(keras.ops.ones((2, 3)))[0, 0]) == 1.0
    assert PROTOCOLS["layers"](Complete) == ""


@pytest.mark.once
def test_a_class_of_another_base_serves_as_a_data_set():
    class Ducks:
        def __init__(self, count: int = 1) -> None:
            self.count = count

        def load(self) -> Any:
            return None

    assert PROTOCOLS["datasets"](Ducks) == ""
    assert PROTOCOLS["exporters"](Ducks) == "does not define estimate(), export(), simulate(), mismatches()."
