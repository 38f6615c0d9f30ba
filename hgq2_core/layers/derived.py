"""Derived widths in a functional graph: from the tensors that a layer takes, back to the last quantizers."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.widths import Deferred, Width, Widths, in_host_format, per_sample
from hgq2_core.keras_graph import private as _keras
from hgq2_core.keras_graph.traversal import graphs_of, layers_of
from hgq2_core.layers.adapters import adapter_of, exact
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.operations import OperationAdapter, called_with
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.pass_through import PassThrough


class Derivation:
    """Widths of the tensors of a graph, each derived once.

    An input of a model has the bits of its dtype, and so have the outputs of a layer without exact arithmetic. The
    input of a nested model counts as one there too: what the model around it passes is not known to a layer inside.

    Args:
        model: whose widths these are, if that is known.
    """

    def __init__(self, model: keras.layers.Layer | None = None) -> None:
        self.model = model
        self.widths = Widths()
        self.known: dict[int, Width] = {}
        self.searched: set[int] = set()

    def of(self, value: Any) -> Any:
        """Return the widths of symbolic tensors in any structure; anything else unchanged."""
        if isinstance(value, keras.KerasTensor):
            return self._of_tensor(value)
        if type(value) in (list, tuple):
            return [self.of(each) for each in value]
        return value

    def call(self, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the widths of the outputs of a layer or operation.

        Args:
            layer: of the graph.
            args: of its call, widths in place of tensors.
            kwargs: of its call.
        """
        return exact(self.widths, layer, layer.name, args, kwargs)

    def operands(self, operation: Any, args: tuple[Any, ...]) -> list[Any]:
        """Return the arguments of an operation, with a width in place of each tensor and number."""
        adapter = adapter_of(operation)
        given = tuple(self.of(value) for value in args)
        return list(given) if adapter is None else adapter.operands(self.widths, given, operation.name)

    def unquantized(self, quantizer: Any, model: keras.layers.Layer) -> list[Width]:
        """Return what passes a slot without a quantizer in all layers of a model, each in a graph or a wrapper there.

        Args:
            quantizer: what fills the slot.
            model: whose graphs are searched.
        """
        if id(quantizer) not in self.searched:
            self.searched.add(id(quantizer))
            for graph in graphs_of(model):
                for layer, _, outputs in _keras.nodes(graph):
                    if _holds(layer, quantizer):
                        _ = [self._of_tensor(tensor).bits for tensor in outputs]
        return self.widths.unquantized.get(id(quantizer), [])

    def _of_tensor(self, tensor: Any) -> Width:
        if id(tensor) not in self.known:
            shape = (1, *(size or 1 for size in tensor.shape[1:]))
            self.known[id(tensor)] = Deferred(shape, lambda: self._derive(tensor, shape))
        return self.known[id(tensor)]

    def _derive(self, tensor: Any, shape: tuple[int, ...]) -> Width:
        made = _keras.producer(tensor)
        if made is None:
            return in_host_format(shape, tensor.dtype)
        layer, args, kwargs, index = made
        if isinstance(layer, keras.Model):
            return self._through(layer, args, index)
        given = tuple(self.of(value) for value in args)
        named = {name: self.of(value) for name, value in kwargs.items()}
        try:
            outputs = self.call(layer, given, named)
        except ExactnessError:
            return in_host_format(shape, tensor.dtype)
        found: Width = outputs[index] if isinstance(outputs, list | tuple) else outputs
        return found

    def _through(self, model: keras.Model, args: tuple[Any, ...], index: int) -> Width:
        graph = _keras.functional(model)
        inner = Derivation()
        inner.known = {
            id(tensor): self.of(value)
            for tensor, value in zip(graph.inputs, keras.tree.flatten(args), strict=True)  # type: ignore[union-attr]
        }
        found: Width = inner.of(graph.outputs[index])  # type: ignore[union-attr]
        return found


def _holds(layer: Any, quantizer: Any) -> bool:
    if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.Model):
        return False
    return any(each is quantizer for each in layers_of(layer))


_shared: ContextVar[Derivation | None] = ContextVar("hgq2_derivation", default=None)


@contextmanager
def one_derivation(model: keras.layers.Layer) -> Iterator[None]:
    """Derive each width of a model once for all that runs inside, in which no bit changes."""
    token = _shared.set(Derivation(model))
    try:
        yield
    finally:
        _shared.reset(token)


def derivation() -> Derivation:
    """Return the widths known so far: those of `one_derivation`, or of the call of a model that is running.

    Without this each of n operations in a row would derive all those before it.
    """
    shared, call = _shared.get(), _keras.outermost_call()
    if shared is not None or call is None:
        return shared or Derivation()
    found: Derivation = vars(call).setdefault("hgq2_derivation", Derivation())
    return found


def is_raw(tensor: Any) -> bool:
    """Return True if no quantized layer lies between a symbolic tensor of floats and an input of its model."""
    made = _keras.producer(tensor)
    if made is None:
        return "float" in str(tensor.dtype)
    layer, args, _, _ = made
    if isinstance(layer, QLayer | keras.Model):
        return False
    return any(is_raw(each) for each in keras.tree.flatten(args) if isinstance(each, keras.KerasTensor))


def holds_sums(tensor: Any) -> bool:
    """Return True if a symbolic tensor holds sums of products with weights as they are, which nothing has quantized.

    A bias in such a sum may have a step far below that of the products, so that a float32 holds no square of it.
    """
    made = _keras.producer(tensor)
    if made is None:
        return False
    layer, args, _, index = made
    if isinstance(layer, keras.Model):
        return holds_sums(_keras.functional(layer).outputs[index])  # type: ignore[union-attr]
    if isinstance(layer, QLayer) and any(isinstance(each, Quantizer) for each in layers_of(layer)):
        return Derivation().of(tensor).terms is not None
    return any(holds_sums(each) for each in keras.tree.flatten(args) if isinstance(each, keras.KerasTensor))


def input_bits(layer: Any, place: int) -> Any:
    """Return the derived bits of one sample of a layer's input, the most of its calls; None if it is in no graph.

    Args:
        layer: which leaves that input as it comes.
        place: which of its inputs.
    """
    inputs = [
        [each for each in keras.tree.flatten((args, kwargs)) if isinstance(each, keras.KerasTensor)]
        for args, kwargs in _keras.inbound_calls(layer)
    ]
    return _most([derivation().of(each[place]) for each in inputs if len(each) > place])


def unquantized_bits(quantizer: PassThrough) -> Any:
    """Return the derived bits of what passes a slot without a quantizer, the most of its calls; None if unknown.

    Args:
        quantizer: what fills the slot.
    """
    known = derivation()
    model = known.model or quantizer.caller()
    return None if model is None else _most(known.unquantized(quantizer, model))


def _most(widths: Sequence[Width]) -> Any:
    bits = [per_sample(each)[0] for each in widths]
    return functools.reduce(keras.ops.maximum, bits) if bits else None


def widest(widths: Any) -> float:
    """Return the most bits of any element of one width or several."""
    widths = widths if isinstance(widths, list | tuple) else [widths]
    return max(float(keras.ops.convert_to_numpy(keras.ops.max(width.bits))) for width in widths)


def operation_ebops(operation: Any) -> Any:
    """Return the EBOPs of an operation on tensors in a graph, by the widths of what it is called with."""
    adapter = adapter_of(operation)
    if not isinstance(adapter, OperationAdapter):
        return 0.0
    args, options = called_with(operation)
    return adapter.ebops(operation, *derivation().operands(operation, args), **options)
