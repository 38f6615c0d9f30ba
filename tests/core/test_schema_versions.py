"""Kinds whose arguments have changed: what was written under earlier versions still loads."""

from typing import ClassVar

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core import ConfigError, ModelConfig, PluginError, QLayer
from hgq2_core.config.describe import describe
from hgq2_core.config.specs import LOSSES, OPTIMIZERS
from hgq2_core.errors import ConformanceError
from hgq2_core.testing import registered
from hgq2_core.testing.layers import layer_checks
from hgq2_core.testing.quantizers import quantizer_checks
from hgq2_fixed_point import KBI, KIF


class Renamed(KIF):
    """KIF with a field that was called `lowest` in version 1."""

    schema_version: ClassVar[int] = 2
    least: float = 0.0

    @classmethod
    def migrate(cls, arguments, version):
        """Rename `lowest`."""
        return {"least" if name == "lowest" else name: value for name, value in arguments.items()}


class Scaled(QLayer):
    """Multiply by a power of two, whose exponent was called `exponent` in version 1 and `log2` in version 2."""

    schema_version: ClassVar[int] = 3
    shift: int = 0

    @classmethod
    def migrate(cls, arguments, version):
        """Rename what the versions before have called `shift`."""
        return {{"exponent": "shift", "log2": "shift"}.get(name, name): value for name, value in arguments.items()}

    def call(self, inputs):
        return inputs * 2.0**self.shift

    def ebops(self, *bits):
        return 0

    def exact(self, arrays, inputs):
        return arrays.shift(inputs, self.shift)


class Weighted(keras.losses.Loss):
    """A loss whose argument was called `weight` in version 1."""

    schema_version: ClassVar[int] = 2

    def __init__(self, factor: float = 1.0, name: str = "weighted") -> None:
        super().__init__(name=name)
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * keras.losses.mean_squared_error(y_true, y_pred)

    def get_config(self):
        return {"factor": self.factor, "name": self.name}

    @classmethod
    def migrate(cls, arguments, version):
        """Rename `weight`."""
        return {"factor" if name == "weight" else name: value for name, value in arguments.items()}


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose argument was called `value` in version 1."""

    schema_version: ClassVar[int] = 2

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def __call__(self, step):
        return self.rate

    def get_config(self):
        return {"rate": self.rate}

    @classmethod
    def migrate(cls, arguments, version):
        """Rename `value`."""
        return {"rate" if name == "value" else name: value for name, value in arguments.items()}


@pytest.fixture
def kinds():
    with registered(
        quantizers={"mine.renamed": Renamed},
        layers={"mine.scaled": Scaled},
        losses={"mine.weighted": Weighted},
        schedules={"mine.constant": Constant},
    ) as found:
        yield found


def config(**layer):
    return {"model": {"inputs": {"x": {"shape": [4]}}, "layers": [layer]}}


def layer_of(document):
    return ModelConfig.parse(document).build().layers[-1]


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("arguments", [{"exponent": 3}, {"schema_version": 2, "log2": 3}, {"shift": 3}])
def test_a_config_of_every_version_builds(arguments):
    assert layer_of(config(kind="scaled", **arguments)).shift == 3


def training_of(**training):
    data = {"kind": "training.digits"}
    return ModelConfig.parse({**config(kind="layers.dense", units=2), "data": data, "training": training}).training


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("factor", [{"weight": 3.0}, {"factor": 3.0}, {"factor": 3.0, "schema_version": 2}])
@pytest.mark.parametrize("rate", [{"value": 0.5}, {"rate": 0.5}, {"value": 0.5, "schema_version": 1}])
def test_losses_and_schedules_of_every_version_are_taken(factor, rate):
    optimizer = {"kind": "sgd", "learning_rate": {"kind": "constant", **rate}, "bit_learning_rate_scale": 2.0}
    training = training_of(loss={"kind": "weighted", **factor}, optimizer=optimizer)
    assert training.loss.to_dict() == {"kind": "mine.weighted", "schema_version": 2, "factor": 3.0}
    present = {"kind": "mine.constant", "schema_version": 2, "rate": 0.5}
    assert training.optimizer.to_dict() == {**optimizer, "learning_rate": present}
    assert LOSSES.make(training.loss).factor == 3.0
    assert float(OPTIMIZERS.make(training.optimizer).learning_rate) == 0.5


@pytest.mark.usefixtures("kinds")
def test_a_version_that_a_loss_or_a_schedule_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"training\.loss: schema_version of mine\.weighted.*Received: 3"):
        training_of(loss={"kind": "weighted", "schema_version": 3})
    schedule = {"kind": "constant", "rate": 0.5, "schema_version": 3}
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: schema_version of mine\.constant.*upgrade"):
        training_of(loss="mse", optimizer={"kind": "sgd", "learning_rate": schedule})
    with pytest.raises(ConfigError, match=r"training\.loss: unknown argument 'schema_version'"):
        training_of(loss={"kind": "huber", "schema_version": 1})


@pytest.mark.usefixtures("kinds")
def test_what_is_written_says_its_version_and_comes_back():
    layer = Scaled(shift=2)
    saved = layer.get_config()
    assert saved["schema_version"] == 3
    assert QLayer.from_config(saved).shift == 2
    spec = ModelConfig.parse(config(kind="scaled", exponent=1)).to_dict()["model"]["layers"][0]
    assert (spec["schema_version"], spec["shift"]) == (3, 1)
    assert "exponent" not in spec
    assert "schema_version" not in KBI().to_dict()


@pytest.mark.usefixtures("kinds")
def test_a_saved_layer_and_quantizer_of_an_earlier_version_load():
    saved = {**Scaled(shift=2).get_config(), "exponent": 2}
    del saved["shift"], saved["schema_version"]
    assert QLayer.from_config(saved).shift == 2
    quantizer = Renamed(least=0.5).build()
    written = quantizer.get_config()
    assert written["config"]["schema_version"] == 2
    del written["config"]["schema_version"], written["config"]["least"]
    written["config"]["lowest"] = 0.25
    assert type(quantizer).from_config(written).config.least == 0.25


@pytest.mark.usefixtures("kinds")
def test_model_files_carry_the_version(tmp_path):
    model = keras.Sequential([keras.Input((4,)), Scaled(shift=2)])
    model.save(tmp_path / "model.keras")
    again = hgq2_core.load_model(tmp_path / "model.keras")
    assert np.array_equal(again(np.ones((1, 4), "float32")), np.full((1, 4), 4.0))


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("version", [0, 4, "2", True, 2.0])
def test_a_version_that_the_class_does_not_have_is_refused(version):
    with pytest.raises(ConfigError, match=r"layers\.0.*schema_version of .*scaled.*Allowed: 1 to 3"):
        ModelConfig.parse(config(kind="scaled", schema_version=version))


@pytest.mark.usefixtures("kinds")
def test_a_newer_file_says_to_upgrade():
    with pytest.raises(ConfigError, match="written by a newer version of the plugin: upgrade"):
        QLayer.from_config({**Scaled().get_config(), "schema_version": 4})


def test_a_kind_of_the_first_version_takes_no_other():
    with pytest.raises(ConfigError, match=r"schema_version of kif. Received: 2. Allowed: 1\."):
        ModelConfig.parse(config(kind="layers.quantize", quantizer={"kind": "kif", "schema_version": 2}))
    assert layer_of(config(kind="layers.quantize", quantizer={"kind": "kif", "schema_version": 1}))


@pytest.mark.usefixtures("kinds")
def test_the_version_is_in_the_schema_and_shown():
    entries = hgq2_core.json_schema()["$defs"]["layer"]["oneOf"]
    (entry,) = (each for each in entries if "scaled" in each.get("properties", {}).get("kind", {}).get("enum", ()))
    assert entry["properties"]["schema_version"] == {"enum": [1, 2, 3]}
    assert describe("scaled").schema_version == 3
    assert describe("kif").schema_version == 1


@pytest.mark.usefixtures("kinds")
def test_the_kit_holds_migrate_to_the_present_names(monkeypatch):
    def rule(checks):
        return next(check for check in checks if check.id == "migrates")

    rule(quantizer_checks(Renamed()))()
    monkeypatch.setattr(Renamed, "migrate", classmethod(lambda cls, arguments, version: {"least": 1.0}))
    with pytest.raises(ConformanceError, match="leaves those in the present names"):
        rule(quantizer_checks(Renamed()))()
    rule(layer_checks({"kind": "mine.scaled", "shift": 1}, (4,)))()
    monkeypatch.delattr(Scaled, "migrate")
    with pytest.raises(PluginError, match="defines no migrate"):
        rule(layer_checks({"kind": "mine.scaled", "shift": 1}, (4,)))()


@pytest.mark.usefixtures("kinds")
def test_a_migrate_that_fails_names_kind_and_version(monkeypatch):
    monkeypatch.setattr(Scaled, "migrate", classmethod(lambda cls, arguments, version: arguments["gone"]))
    with pytest.raises(PluginError, match=r"scaled: Scaled.migrate\(\) failed on version 1: 'gone'"):
        layer_of(config(kind="scaled"))
