"""The quantized layer: constants, exact arithmetic, the deployable form, and what is saved.

Its constructor comes from `construction`, its quantizers from `slots`, its part of the loss from `cost`, and what it
takes over from a Keras layer from `transfer`.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.discovery.abstract import abstract_methods, require_complete
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError, KindError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths, compact
from hgq2_core.keras_graph import private as _keras
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.arguments import BetaField, default
from hgq2_core.layers.cost import loss_of, with_cost
from hgq2_core.layers.hdf5_config import flat_config, hdf5_config
from hgq2_core.layers.masks import passed_mask, refused_mask
from hgq2_core.layers.slots import SlottedLayer
from hgq2_core.layers.states import KeptStates
from hgq2_core.layers.transfer import FromKeras
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import PACKAGE
from hgq2_core.quantizers.config import QuantizerConfig
from hgq2_core.quantizers.defaults import EBOPS_BETA, scoped, switched, without_switches
from hgq2_core.schema.signature import parameters
from hgq2_core.schema.versions import migrated, version_entry

A = TypeVar("A")


@keras.saving.register_keras_serializable(PACKAGE, "QLayer")
class QLayer(SlottedLayer, FromKeras, kw_only=True):
    """Base of every quantized layer.

    The arguments of a subclass are typed fields. From them come the constructor, the schema of its kind, `get_config`
    and `from_config`. `setup` makes the quantizers once the fields are set. `build`, `call`, `folded`, `ebops` and
    `exact` say the rest. All subclasses are saved under one Keras name plus their kind, so a file loads where the kind
    is installed.

    A plugin names a subclass in `hgq2_layers`. It must define `call`, `ebops` (0 for a layer that is free) and `exact`.
    docs/extending/layer.md has the complete files of a plugin. In this version a class without `ebops` or `exact` is
    warned of when it is instantiated; the conformance kit and `hgq2 plugins --check` refuse it.

    A subclass may write `__init__` by hand instead: typed, each argument kept under its own name. One whose arguments
    change counts `schema_version` up and defines `migrate`; see `hgq2_core.schema.versions`.

    Each `call` that a subclass defines is wrapped by `with_cost`, which adds the layer's EBOPs and the penalties of its
    quantizers to the loss.

    Args:
        ebops_beta: weight of this layer's EBOPs in the loss; None takes the scope's.
        enable_ebops: whether this layer counts EBOPs; None takes the scope's.

    Raises:
        IncompleteError: when it is instantiated, a subclass without `call` or another abstract method.
    """

    schema_version: ClassVar[int] = 1

    refuses_masks: ClassVar[str | None] = None
    """Why the layer takes no mask; None where one passes."""

    cost_in_call: ClassVar[bool] = True
    """Whether each call adds the layer's cost to the loss. A cell, which a loop of the backend calls, has `in_loss()`
    as a regularizer of a weight instead."""

    @override
    def __init_subclass__(cls, *, kw_only: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(kw_only=kw_only, **kwargs)
        if "call" in vars(cls):
            cls.call = with_cost(cls.call)  # type: ignore[method-assign]
        # The name must lead back here, where the registry finds the class.
        for registered in (cls, QLayer):
            keras.saving.register_keras_serializable(PACKAGE, "QLayer")(registered)

    ebops_beta: BetaField = default(None)
    enable_ebops: bool | None = None

    @property
    def supports_jit(self) -> bool:
        """Whether Keras may compile the model by itself, as `compile(jit_compile=True)` asks; on torch it may not."""
        if keras.backend.backend() == "torch":
            warnings.warn(
                "compile(jit_compile=True) would let torch trace the Python of every layer, for minutes. The model "
                "trains eagerly. To compile its whole step, call hgq2_core.jit(model) after compile().",
                stacklevel=2,
            )
            return False
        return True

    @supports_jit.setter
    def supports_jit(self, value: bool) -> None:
        """Ignore what Keras' constructor says."""

    @classmethod
    def missing_methods(cls) -> list[str]:
        """Return the names of the methods that a class must define and does not."""
        return [*(("call",) if cls.call is keras.layers.Layer.call else ()), *abstract_methods(cls)]

    @override
    def _construct(self, arguments: Mapping[str, Any]) -> None:
        require_complete(type(self), "layer", recent=("ebops", "exact"))
        super()._construct(arguments)
        self.supports_masking = True
        self.frozen = False
        self.kept_states: KeptStates | None = None
        self.enable_ebops = _first(self.enable_ebops, scoped("enable_ebops"), True)
        self._initial_beta = _first(self.ebops_beta, scoped("ebops_beta"), EBOPS_BETA)
        self.ebops_beta = super().add_weight(
            name="ebops_beta",
            shape=(),
            initializer=keras.initializers.Constant(self._initial_beta),
            dtype="float32",
            trainable=False,
            autocast=False,
        )
        for name in parameters(type(self)):
            if (config := switched(name)) is not None:
                setattr(self, name, _filled(vars(self).get(name), config))
        with without_switches():
            self.setup()

    def arguments_of_sublayers(self) -> dict[str, Any]:
        """Return the arguments that the sublayers of a layer have from it; for `setup`."""
        return {
            "ebops_beta": self._initial_beta,
            "enable_ebops": self.enable_ebops,
            "dtype": self.dtype_policy.name,
            "trainable": self.trainable,
        }

    @override
    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Add a weight as Keras does; a frozen layer holds constants instead and gives None."""
        return None if self.frozen else super().add_weight(*args, **kwargs)

    def in_loss(self) -> Tensor | None:
        """Return what the layer adds to the loss: its EBOPs times their weight, and the penalties of its quantizers.

        None where it counts no EBOPs and has no penalties.
        """
        return loss_of(self)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Return the mask of the outputs, which Keras asks for in every call, also where the model is made.

        Raises:
            ConfigError: there is a mask, and the layer takes none.
        """
        if self.refuses_masks and any(mask is not None for mask in keras.tree.flatten(previous_mask)):
            raise refused_mask(self.name, self.refuses_masks)
        return passed_mask(self, inputs, previous_mask)

    def folded(self) -> dict[str, Tensor]:
        """Return, by slot name, the tensors that the weight quantizers see in inference.

        For most layers the weights themselves; for a fused normalization, the folded ones. The names are those given to
        `add_quantizer`.
        """
        return {}

    def constants(self, training: bool = False) -> Mapping[str, Tensor]:
        """Return the quantized weights by slot name: computed, or the stored data of a frozen layer."""
        if self.frozen:
            return {name: value for name, value in self._stored.items() if name in self._slots.quantizers}
        return {name: self.slot_quantizer(name).quantize(value, training) for name, value in self.folded().items()}

    def grids(self) -> Mapping[str, Tensor]:
        """Return, by name, what else the frozen form stores: the inputs at which a lookup table has entries."""
        return {}

    def stored(self) -> Mapping[str, Tensor]:
        """Return all that the frozen form stores: computed, or the data of a frozen layer."""
        return self._stored if self.frozen else {**self.constants(), **self.grids()}

    def input_of_quantizer(self, name: str) -> Tensor:
        """Return what the weight quantizer of one slot sees; overridden where the others take long to compute."""
        return self.inputs_of_quantizers()[name]

    def inputs_of_quantizers(self) -> Mapping[str, Tensor]:
        """Return, by slot name, what the weight quantizers see; constants of a frozen layer are quantized."""
        return self.constants() if self.frozen else self.folded()

    def weight_bits(self) -> dict[str, Tensor]:
        """Return, by slot name, the bits that EBOPs count for each weight."""
        return {name: self.slot_quantizer(name).bits(value) for name, value in self.inputs_of_quantizers().items()}

    @abstractmethod
    def ebops(self) -> Tensor:
        """Return this layer's own effective bit operations for one sample: a pure function of bits and built shapes."""
        return keras.ops.zeros(())

    @abstractmethod
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """State the inference arithmetic.

        A layer whose `call` takes masks, further tensors or options states them under the same names: tensors come as
        operands, a condition as 1 and 0, anything else as it was given. It may give several operands, as `call` does. A
        layer that keeps states from call to call (`kept_states`, set in `setup` and built in `build`) takes them behind
        its inputs, or begins at 0, and gives those after the call behind its outputs.

        Args:
            arrays: integers, intervals, or hardware.
            inputs: operands of `arrays`, batch axis first.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no exact().")

    @property
    def sum_bits(self) -> int | None:
        """The bits, sign included, that its sums may take, which `verify` proves; None, as here, for no limit."""
        return None

    def width(self, widths: Widths, *inputs: Width, **masks: Any) -> Any:
        """Return the derived width of the outputs, on which the cost of an operation behind this layer depends.

        Here the bits of the output quantizer, or else what `exact` gives. A layer whose last step is a table overrides
        it, as only the quantizer of its entries knows their bits.

        Args:
            widths: interprets statements with bits in place of values.
            inputs: the widths of the inputs.
            masks: what the layer is called with by keyword, see `exact`.
        """
        return self.exact(widths, *inputs, **masks)

    def constant(self, arrays: Arrays[A], name: str) -> A:
        """Return a quantized weight as an operand, for `exact`.

        Raises:
            ExactnessError: the weight holds NaN or infinite values.
        """
        if isinstance(arrays, Widths):
            return self._weight_width(arrays, name)  # type: ignore[no-any-return]
        values = np.asarray(keras.ops.convert_to_numpy(self.constants()[name]))
        if not np.isfinite(values).all():
            raise ExactnessError(
                f"{self.name}: its {name} holds NaN or infinite values, for which there is no exact arithmetic. "
                "Train again, with a smaller learning rate."
            )
        return arrays.constant(values)

    def _weight_width(self, widths: Widths, name: str) -> Any:
        values = self.input_of_quantizer(name)
        quantizer, shape = self.slot_quantizer(name), tuple(values.shape)
        bits = keras.ops.broadcast_to(quantizer.bits(values), shape)
        return widths.weights(shape, compact(bits, quantizer.shared_shape_of(shape)))

    def freeze(self, stored: Mapping[str, tuple[int, ...]]) -> None:
        """Turn a new, unbuilt layer into its deployable form, which stores constants instead of weights.

        Args:
            stored: shape of each constant and grid, by name; the values are assigned or loaded afterwards.
        """
        if self.built:
            raise ConfigError(
                f"{self.name}: only a layer that is not built can be frozen; use hgq2_core.freeze(model)."
            )
        self._stored = {
            name: super(QLayer, self).add_weight(
                name=name, shape=tuple(shape), initializer="zeros", trainable=False, autocast=False
            )
            for name, shape in stored.items()
        }
        self.frozen = True
        self.trainable = False

    def get_config(self) -> dict[str, Any]:
        """Return the kind and every argument of the constructor, the quantizers complete."""
        kind = registry().kind_of("layers", type(self)) or type(self).__name__
        config: dict[str, Any] = {"kind": kind, **version_entry(type(self)), **self.arguments_to_config()}
        if self.frozen:
            config["frozen"] = {name: list(value.shape) for name, value in self._stored.items()}
            if inside := self._inside():
                config["frozen_inside"] = [
                    {name: list(value.shape) for name, value in layer.stored().items()} for layer in inside
                ]
        return hdf5_config(config) if _keras.saves_hdf5() else config

    def arguments_to_config(self) -> dict[str, Any]:
        """Return every argument of the constructor as plain data, the quantizers complete."""
        arguments: dict[str, Any] = {}
        for name, parameter in parameters(type(self)).items():
            value = getattr(self, name)
            to_config = _to_config(parameter.annotation)
            arguments[name] = to_config(value) if to_config else value
        return arguments

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> QLayer:
        """Rebuild from `get_config`, the class found by its kind.

        Raises:
            PluginError: the kind's plugin is missing or failed.
            KindError: no plugin and no custom object has the class.
        """
        arguments = flat_config(config)
        frozen, inside = arguments.pop("frozen", None), arguments.pop("frozen_inside", [])
        kind = arguments.pop("kind", None)
        found = _class_of(kind, cls)
        with without_switches():
            layer = found(**migrated(found, str(kind), arguments))
        if frozen is not None:
            layer.freeze(frozen)
            for sublayer, stored in zip(layer._inside(), inside, strict=True):
                if not sublayer.frozen:  # one that has its own config is frozen by it
                    sublayer.freeze(stored)
        return layer

    def _inside(self) -> list[QLayer]:
        return [layer for layer in layers_of(self) if isinstance(layer, QLayer) and layer is not self]


def _class_of(kind: Any, cls: type[QLayer]) -> type[QLayer]:
    if kind is None or kind == cls.__name__:
        return cls
    if "." in str(kind):
        return registry().load("layers", kind)
    # A subclass that no plugin offers, such as one in a notebook.
    custom = keras.saving.get_registered_object(kind)
    if not (isinstance(custom, type) and issubclass(custom, QLayer)):
        raise KindError(
            f"layer class {kind!r} belongs to no installed plugin. "
            f"Pass custom_objects={{{kind!r}: {kind}}} to load_model, or offer it through a plugin."
        )
    return custom


def _to_config(annotation: Any) -> Any:
    items = getattr(annotation, "__metadata__", ())
    return next((item.to_config for item in items if hasattr(item, "to_config")), None)


def _filled(given: Any, config: QuantizerConfig) -> Any:
    """Return the argument of a slot, or of a list of them, with a config wherever it is left unset."""
    if isinstance(given, tuple):
        return tuple(config if each is None else each for each in given)
    return config if given is None else given


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
