"""`hgq2_core.testing.registered`: kinds for the time of a test."""

from __future__ import annotations

import keras
import pytest

from hgq2_core import ConfigError, KindError, PluginError
from hgq2_core.discovery.registry import registry
from hgq2_core.testing import check_quantizer, registered
from hgq2_fixed_point import KBI
from hgq2_layers import QDense


class Mine(KBI):
    """A kind that no plugin offers."""


class Flat(keras.layers.Flatten):
    """Stands for an adapter."""


def test_a_kind_is_there_inside_the_block_alone(tmp_path):
    with registered(quantizers={"mine.kbi": Mine}):
        model = keras.Sequential([keras.Input((3,)), QDense(2, kernel_quantizer={"kind": "mine.kbi", "b": 4})])
        model.save(tmp_path / "m.keras")
        back = keras.saving.load_model(tmp_path / "m.keras")
        assert type(back.layers[0].kernel_quantizer.config) is Mine
        check_quantizer(Mine(b=4), imports=False)
    assert registry().kind_of("quantizers", Mine) is None
    with pytest.raises(KindError):
        registry().load("quantizers", "mine.kbi")


@pytest.mark.once
def test_it_is_gone_after_an_error():
    before = registry().names("quantizers")
    with pytest.raises(RuntimeError), registered(quantizers={"mine.kbi": Mine}):
        raise RuntimeError
    assert registry().names("quantizers") == before


@pytest.mark.once
def test_a_local_class_and_a_function_and_a_text_are_offered():
    class Local(KBI):
        """Cannot be imported."""

    def command() -> None:
        """Do nothing."""

    with registered(
        quantizers={"mine.local": Local, "mine.text": "no_such_module:Kind"}, commands={"mine.command": command}
    ):
        assert registry().load("quantizers", "local") is Local
        assert registry().command("command") is command
        with pytest.raises(PluginError, match="cannot import no_such_module:Kind"):
            registry().load("quantizers", "mine.text")


@pytest.mark.once
@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (
            {"quantiser": {"mine.kbi": Mine}},
            KindError,
            "registered: unknown group. Received: 'quantiser'. Allowed: callbacks, commands, datasets, exporters, "
            "layers, losses, metrics, optimizers, quantizers, schedules. Did you mean 'quantizers'?",
        ),
        (
            {"quantizers": {"mine": Mine}},
            ConfigError,
            "registered: not a full kind of the quantizers. Received: 'mine'. Allowed: <plugin>.<name>.",
        ),
        (
            {"layers": {"Flat": Flat}},
            ConfigError,
            "registered: not a full kind of the layers. Received: 'Flat'. Allowed: <plugin>.<name>, or keras.<Layer>.",
        ),
        (
            {"quantizers": {"fixed_point.kbi": Mine}},
            ConfigError,
            "registered: an installed plugin has this kind of the quantizers. Received: 'fixed_point.kbi'. Allowed: "
            "another name.",
        ),
    ],
)
def test_what_cannot_be_offered_is_refused(groups, error, message):
    with pytest.raises(error) as caught, registered(**groups):
        pass
    assert str(caught.value) == message
