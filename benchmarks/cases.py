"""The models that are timed: each as plain Keras, in this library, and in hgq2 0.2.0.

Imported in every contender's process, so it imports of this repository and of hgq2 only what that contender needs.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

Contender = Literal["float", "ours", "hgq2"]


class Layers(NamedTuple):
    """The layers of a contender, with Keras' arguments."""

    dense: Callable[..., Any]
    conv: Callable[..., Any]
    einsum_batch_norm: Callable[..., Any]
    attention: Callable[..., Any]


class Case(NamedTuple):
    """A model and its data.

    Args:
        name: of the case.
        batch: samples of a step.
        inputs: shape of a sample.
        outputs: maps layers and a symbolic input to the symbolic output.
        classes: how many, for cross-entropy from logits; 0 for a mean squared error.
    """

    name: str
    batch: int
    inputs: tuple[int, ...]
    outputs: Callable[[Layers, Any], Any]
    classes: int = 0


def float_layers() -> Layers:
    from keras import layers

    def einsum_batch_norm(equation: str, shape: tuple[int, ...], axes: str) -> Callable[[Any], Any]:
        einsum, norm, relu = layers.EinsumDense(equation, shape), layers.BatchNormalization(), layers.ReLU()
        return lambda x: relu(norm(einsum(x)))

    return Layers(layers.Dense, layers.Conv2D, einsum_batch_norm, layers.MultiHeadAttention)


def our_layers() -> Layers:
    import hgq2_layers as layers
    from hgq2_attention import QMultiHeadAttention

    def einsum_batch_norm(equation: str, shape: tuple[int, ...], axes: str) -> Any:
        return layers.QEinsumDenseBatchNorm(equation, shape, bias_axes=axes, activation="relu")

    return Layers(layers.QDense, layers.QConv2D, einsum_batch_norm, QMultiHeadAttention)


def hgq2_layers() -> Layers:
    from hgq import layers

    def einsum_batch_norm(equation: str, shape: tuple[int, ...], axes: str) -> Any:
        return layers.QEinsumDenseBatchnorm(equation, shape, bias_axes=axes, activation="relu")

    return Layers(layers.QDense, layers.QConv2D, einsum_batch_norm, layers.QMultiHeadAttention)


LAYERS: dict[Contender, Callable[[], Layers]] = {"float": float_layers, "ours": our_layers, "hgq2": hgq2_layers}


def mlp(make: Layers, x: Any) -> Any:
    for width in (64, 32, 32):
        x = make.dense(width, activation="relu")(x)
    return make.dense(5)(x)


def einsum_batch_norm(make: Layers, x: Any) -> Any:
    for _ in range(2):
        x = make.einsum_batch_norm("bnc,cd->bnd", (16, 64), "d")(x)
    return x


def cnn(make: Layers, x: Any) -> Any:
    from keras.layers import Flatten, MaxPooling2D

    x = MaxPooling2D()(make.conv(16, 3, activation="relu")(x))
    x = MaxPooling2D()(make.conv(32, 3, activation="relu")(x))
    return make.dense(10)(Flatten()(make.conv(32, 3, activation="relu")(x)))


def attention(make: Layers, x: Any) -> Any:
    return make.dense(64)(make.attention(4, 16)(x, x))


def one_dense(width: int, make: Layers, x: Any) -> Any:
    return make.dense(width)(x)


def mlp_case(batch: int) -> Case:
    return Case(f"MLP 16-64-32-32-5, batch {batch}", batch, (16,), mlp, classes=5)


def dense_case(width: int, batch: int) -> Case:
    return Case(f"Dense {width}, batch {batch}", batch, (width,), functools.partial(one_dense, width))


CASES: dict[str, Case] = {
    "mlp": mlp_case(1024),
    "mlp_large": mlp_case(33200),
    "einsum": Case("EinsumDenseBatchNorm, batch 1024", 1024, (16, 64), einsum_batch_norm),
    "cnn": Case("CNN 32x32x3, batch 128", 128, (32, 32, 3), cnn, classes=10),
    "attention": Case("self-attention 32x64, 4 heads, and Dense, batch 128", 128, (32, 64), attention),
    "dense_512": dense_case(512, 256),
    "dense_2048": dense_case(2048, 64),
}
BATCHES = {f"batch_{batch}": mlp_case(batch) for batch in (256, 1024, 4096, 16384, 65536)}
WIDTHS = {f"width_{width}": dense_case(width, 64) for width in (16, 64, 256, 1024, 4096)}
EVERY_CASE = {**CASES, **BATCHES, **WIDTHS}


def build(case: Case, contender: Contender) -> Any:
    """Return a compiled model."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input(case.inputs)
    with _scope(contender):
        model = keras.Model(inputs, case.outputs(LAYERS[contender](), inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if case.classes else "mse"
    model.compile(optimizer="adam", loss=loss)
    return model


def data(case: Case, model: Any, samples: int) -> tuple[Any, Any]:
    """Return inputs and targets."""
    import numpy as np

    generator = np.random.default_rng(0)
    x = generator.standard_normal((samples, *case.inputs)).astype("float32")
    if case.classes:
        return x, generator.integers(0, case.classes, samples)
    return x, generator.standard_normal((samples, *model.output_shape[1:])).astype("float32")


@contextlib.contextmanager
def _scope(contender: Contender) -> Iterator[None]:
    if contender != "hgq2":
        yield
        return
    from hgq.config import LayerConfigScope, QuantizerConfigScope

    # Its documented defaults, made explicit.
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-5),
    ):
        yield
