"""The rules for layers: constructors, cost, and equal outputs of integers, saved files and circuits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConformanceError, ExactnessError, PluginError
from hgq2_core.exporting.export import exporter_of
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.model.calibration import calibrate
from hgq2_core.model.cost import ebops
from hgq2_core.model.freezing import freeze
from hgq2_core.model.verification import verify
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.bit_variables import has_room, is_bit_variable
from hgq2_core.schema.signature import parameters
from hgq2_core.schema.versions import migrated
from hgq2_core.testing.constructors import has_json_schema, is_strict, kind_and_arguments, migrates
from hgq2_core.testing.protocols import check_class
from hgq2_core.testing.rules import (
    Check,
    Floats,
    checks,
    differing,
    gradients_of,
    numpy,
    require,
    run,
    samples,
    unreached,
)

SAMPLES = 1000
STEPS = 2
KERAS_NAME = keras.saving.get_registered_name(QLayer)

Shape = tuple[int, ...]


def check_layer(config: Mapping[str, Any], input_shape: Shape | list[Shape]) -> None:
    """Check that a layer keeps the rules that training, files, reports and exporters rely on.

    Args:
        config: the layer as in a config file: its kind and its arguments.
        input_shape: shape of one sample; a list of shapes for a layer that takes a list of inputs.

    Raises:
        ConformanceError: rules are broken; the message has a line for each.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_layer({"kind": "dense", "units": 3, "activation": "relu"}, (4,))
    """
    subject = subject_of(config, input_shape)
    run(subject.kind, _checks(subject))


def layer_checks(config: Mapping[str, Any], input_shape: Shape | list[Shape]) -> Iterator[Check]:
    """Return the checks of `check_layer` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_layer`.
        input_shape: see `check_layer`.
    """
    return _checks(subject_of(config, input_shape))


def subject_of(config: Mapping[str, Any], input_shape: Shape | list[Shape]) -> Subject:
    """Return a layer with a model of it and inputs, as the rules look at it.

    Args:
        config: see `check_layer`.
        input_shape: see `check_layer`.

    Raises:
        ConformanceError: the class is no `QLayer`.
        KindError: no installed plugin has the kind.
    """
    name, arguments = kind_and_arguments(config)
    kind = registry().resolve("layers", name)
    cls = registry().load("layers", kind)
    if not issubclass(cls, QLayer):
        raise ConformanceError(f"{kind}: {cls.__name__} is not a QLayer.")
    return Subject(kind, cls, migrated(cls, kind, arguments), input_shape)


def _checks(subject: Subject) -> Iterator[Check]:
    yield from checks((*CLASS_RULES, builds), subject)
    yield from checks(VALUE_RULES, subject, after=builds.__name__)


@dataclass(frozen=True)
class Subject:
    """A layer under examination: its class, its arguments, and the shape of one sample of each input."""

    kind: str
    cls: type[QLayer]
    arguments: Mapping[str, Any]
    input_shape: Shape | list[Shape]

    def layer(self, cls: type[QLayer] | None = None, **arguments: Any) -> QLayer:
        """Return the layer, or one of a subclass, always with the same weights."""
        keras.utils.set_random_seed(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # rules say what is missing
            return (cls or self.cls)(**{"name": "checked", **self.arguments, **arguments})

    def model(self, cls: type[QLayer] | None = None, **arguments: Any) -> keras.Model:
        """Return a calibrated model of the layer alone."""
        shape = self.input_shape
        inputs = [keras.Input(each) for each in shape] if isinstance(shape, list) else keras.Input(shape)
        model = keras.Model(inputs, self.layer(cls, **arguments)(inputs))
        calibrate(model, self.values())
        return model

    def values(self) -> Floats | list[Floats]:
        """Return random inputs."""
        if isinstance(self.input_shape, list):
            return [samples(SAMPLES, *shape) for shape in self.input_shape]
        return samples(SAMPLES, *self.input_shape)


def states_its_cost(subject: Subject) -> None:
    """A layer defines its cost in ebops(), which returns 0 for a free one."""
    problem = f"{subject.cls.__name__} defines no ebops(), so its bits cost nothing."
    require("ebops" not in subject.cls.missing_methods(), problem)


def keeps_its_arguments(subject: Subject) -> None:
    """A constructor keeps each argument in an attribute of the same name, which get_config() reads."""
    layer = subject.layer()
    lost = [name for name in parameters(subject.cls) if not hasattr(layer, name)]
    require(not lost, f"{', '.join(lost)} is not kept.")


def slots_its_quantizers(subject: Subject) -> None:
    """Quantizers are made by add_quantizer(), which registers them for files, costs and calibration."""
    layers = list(layers_of(subject.model()))
    known = {id(each) for layer in layers if isinstance(layer, QLayer) for each in layer.quantizers}
    unexpected = [each.name for each in layers if isinstance(each, Quantizer) and id(each) not in known]
    require(not unexpected, f"{', '.join(unexpected)} was made in another way.")


def knows_its_output_shape(subject: Subject) -> None:
    """The output shape that a layer announces when a model is built is that of its outputs."""
    model = subject.model()
    outputs = keras.tree.flatten(model(subject.values()))
    for announced, output in zip(keras.tree.flatten(model.outputs), outputs, strict=True):
        wanted, got = tuple(announced.shape[1:]), tuple(output.shape[1:])
        same = len(wanted) == len(got) and all(a in (None, b) for a, b in zip(wanted, got, strict=True))
        require(same, f"Announced: {wanted}; computed: {got}.")


def costs_per_sample(subject: Subject) -> None:
    """EBOPs are counted for one sample, for any batch size."""
    model = subject.model()
    many = ebops(model)
    model(keras.tree.map_structure(lambda values: values[:1], subject.values()))
    one = ebops(model)
    require(np.isfinite(many) and many >= 0, f"They are {many:g}.")
    require(np.isclose(one, many, rtol=1e-4), f"{many:g} after a batch of {SAMPLES}, {one:g} after a batch of 1.")


def has_our_keras_name(subject: Subject) -> None:
    """A class is saved under QLayer's Keras name, not under another one."""
    name = keras.saving.get_registered_name(subject.cls)
    require(name == KERAS_NAME, f"It is registered as {name!r}: leave out register_keras_serializable.")


def round_trips(subject: Subject) -> None:
    """get_config() returns the kind and every argument."""
    config = subject.layer().get_config()
    require(config.get("kind") == subject.kind, f"Its kind is {config.get('kind')!r}.")
    back = QLayer.from_config(config)
    require(type(back) is subject.cls, f"It came back as {type(back).__name__}.")
    again = back.get_config()
    changed = sorted(name for name in {*config, *again} if config.get(name) != again.get(name))
    require(not changed, f"{', '.join(changed)} came back changed.")


def builds(subject: Subject) -> None:
    """The layer can be built, called and calibrated."""
    subject.model()


def costs_once(subject: Subject) -> None:
    """The EBOPs enter the loss once, also in a subclass."""
    subclass = type(f"{subject.cls.__name__}Subclass", (subject.cls,), {})
    for cls in (subject.cls, subclass):
        model = subject.model(cls)
        wanted = ebops(model)
        got = _loss(model, subject, beta=1.0) - _loss(model, subject, beta=0.0)
        same = np.isclose(got, wanted, rtol=1e-4, atol=1e-3)
        require(same, f"{cls.__name__} adds {got:g} to the loss for {wanted:g} EBOPs.")


def _loss(model: keras.Model, subject: Subject, beta: float) -> float:
    for layer in layers_of(model):
        if isinstance(layer, QLayer):
            layer.ebops_beta.assign(beta)
    model(subject.values())
    return sum(float(numpy(loss)) for loss in model.losses)


def trains(subject: Subject) -> None:
    """Training on a loss and the EBOPs changes bits of every quantizer, unless their bounds coincide.

    Output quantizers are left out: they get no gradient here, since their inputs are on their grid already, and their
    bits do not enter the EBOPs.
    """
    model = subject.model()
    rng = np.random.default_rng(SAMPLES)
    for layer in layers_of(model):
        if isinstance(layer, QLayer):
            layer.ebops_beta.assign(1e-3)
    for variable in model.trainable_variables:
        if not is_bit_variable(variable):
            variable.assign(rng.normal(size=tuple(variable.shape)))  # a bias of 0 is exact with any number of bits
    inner = [each for each in layers_of(model) if isinstance(each, Quantizer) and each.slot.name != "output"]
    bits = {each: _bits(each) for each in inner if _bits(each)}
    if not bits:
        return
    values = subject.values()
    targets = keras.tree.map_structure(lambda output: rng.normal(size=tuple(output.shape)), model(values))
    model.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of variables without gradients, which the rule reports
        model.fit(values, targets, batch_size=SAMPLES, epochs=STEPS, verbose=0)
    moved = {layer: not all(map(np.array_equal, before, _bits(layer))) for layer, before in bits.items()}
    still = sorted((each for each in bits if not moved[each]), key=lambda each: str(each.slot))
    if still:

        def loss() -> Any:
            return model.compute_loss(values, targets, model(values, training=True))

        unmoved = {str(each.slot): unreached(loss, list(filter(has_room, each.trainable_variables))) for each in still}
        named = {f"{slot}.{name}": how for slot, names in unmoved.items() for name, how in names.items()}
        why = f" Of the gradients, {gradients_of(named)}." if named else ""
        raise ConformanceError(f"The bits of {', '.join(unmoved)} did not change.{why}")


def _bits(quantizer: Quantizer[Any]) -> list[Any]:
    return [numpy(variable).copy() for variable in quantizer.trainable_variables if has_room(variable)]


def stays_untrainable(subject: Subject) -> None:
    """A layer made with trainable=False has no trainable variables, nor do its sublayers."""
    model = subject.model(trainable=False)
    trainable = [variable.path for variable in model.trainable_variables]
    require(not trainable, f"A model of it trains {', '.join(trainable)}.")


def is_saved(subject: Subject) -> None:
    """A layer that is saved and loaded computes the same bits."""
    model = subject.model()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "checked.keras"
        model.save(path)
        back = keras.saving.load_model(path)
    difference = differing(_outputs(back, subject), _outputs(model, subject), _inputs(subject))
    require(not difference, difference)


def _outputs(model: keras.Model, subject: Subject) -> Any:
    return _flat(keras.tree.flatten(model(subject.values())))


def _inputs(subject: Subject) -> Any:
    values = subject.values()
    return _flat(values if isinstance(values, list) else [values])


def _flat(tensors: list[Any]) -> Any:
    return np.concatenate([numpy(tensor).reshape(SAMPLES, -1) for tensor in tensors], axis=1)


def is_exact(subject: Subject) -> None:
    """Integers give the outputs of the frozen layer."""
    report = verify(subject.model(), subject.values())
    require(report.ok, str(report).splitlines()[0] + ".")


def becomes_a_circuit(subject: Subject) -> None:
    """The circuits of all installed exporters equal the integers, unless an exporter refuses the layer."""
    model = freeze(subject.model())
    for kind in registry().names("exporters"):
        with suppress(ExactnessError, PluginError):  # an exporter that cannot be used is not the layer's fault
            check_class("exporters", kind)
            mismatches = exporter_of(kind).mismatches(model, subject.values())
            require(mismatches == 0, f"The circuit of {kind} differs in {mismatches} of {SAMPLES} samples.")


CLASS_RULES = (
    *(is_strict, has_json_schema, migrates, states_its_cost, has_our_keras_name, keeps_its_arguments, round_trips),
)
VALUE_RULES = (
    *(knows_its_output_shape, slots_its_quantizers, costs_once, costs_per_sample, trains, stays_untrainable),
    *(is_saved, is_exact, becomes_a_circuit),
)
