"""Functional models of plain Keras, written as people write them; no word of quantization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

layers, ops = keras.layers, keras.ops

ZOO: dict[str, Callable[[], keras.Model]] = {}


def model(make: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    """Add a model to the zoo under the name of its function."""

    def named() -> keras.Model:
        made = make()
        return keras.Model(made.inputs, made.outputs, name=make.__name__)

    ZOO[make.__name__] = named
    return named


@model
def residual_mlp() -> keras.Model:
    x = keras.Input((8,), name="x")
    h = layers.Dense(8, "relu", name="stem")(x)
    for n in range(3):
        h = h + layers.Dense(8, "relu", name=f"block_{n}")(h)
    return keras.Model(x, layers.Dense(3, name="out")(h))


@model
def resnet_bottleneck() -> keras.Model:
    x = keras.Input((6, 6, 4), name="x")
    h = layers.Conv2D(2, 1, use_bias=False, name="reduce")(x)
    h = layers.ReLU(name="relu_1")(layers.BatchNormalization(name="bn_1")(h))
    h = layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")(h)
    h = layers.ReLU(name="relu_2")(layers.BatchNormalization(name="bn_2")(h))
    h = layers.BatchNormalization(name="bn_3")(layers.Conv2D(6, 1, name="expand")(h))
    skip = layers.BatchNormalization(name="bn_skip")(layers.Conv2D(6, 1, name="project")(x))
    h = ops.relu(h + skip)
    return keras.Model(x, layers.Dense(2, name="out")(ops.mean(h[:, 1:5, 1:5], axis=(1, 2))))


@model
def densenet() -> keras.Model:
    x = keras.Input((6, 6, 2), name="x")
    h = x
    for n in range(3):
        new = layers.Conv2D(2, 3, padding="same", activation="relu", name=f"conv_{n}")(h)
        h = layers.Concatenate(name=f"join_{n}")([h, new])
    h = layers.AveragePooling2D(2, name="transition")(h)
    return keras.Model(x, layers.Dense(3, name="out")(layers.Flatten(name="flat")(h)))


@model
def u_net() -> keras.Model:
    x = keras.Input((8, 8, 1), name="x")
    fine = layers.Conv2D(2, 3, padding="same", activation="relu", name="fine")(x)
    coarse = layers.Conv2D(3, 3, padding="same", activation="relu", name="coarse")(
        layers.MaxPooling2D(name="down")(fine)
    )
    up = layers.Conv2DTranspose(2, 2, strides=2, name="up")(coarse)
    h = ops.concatenate([fine, up], axis=-1)
    nearest = layers.UpSampling2D(name="nearest")(coarse)[..., :1]
    h = layers.Conv2D(2, 3, padding="same", activation="relu", name="merge")(h) * nearest
    return keras.Model(x, layers.Conv2D(1, 1, name="mask")(h))


@model
def squeeze_excitation() -> keras.Model:
    x = keras.Input((4, 4, 4), name="x")
    h = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x)
    gate = layers.GlobalAveragePooling2D(name="squeeze")(h)
    gate = layers.Dense(2, "relu", name="fewer")(gate)
    gate = layers.Dense(4, "hard_sigmoid", name="excite")(gate)
    h = h * ops.reshape(gate, (-1, 1, 1, 4))
    return keras.Model(x, layers.Dense(2, name="out")(layers.Flatten(name="flat")(h)))


@model
def inception() -> keras.Model:
    x = keras.Input((6, 6, 4), name="x")
    first, second = ops.split(x, 2, axis=-1)
    branches = [
        layers.Conv2D(2, 1, activation="relu", name="one")(first),
        layers.Conv2D(2, 3, padding="same", activation="relu", name="three")(second),
        layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(x),
    ]
    h = ops.concatenate(branches, axis=-1)[:, ::2, ::2]
    return keras.Model(x, layers.Dense(3, name="out")(layers.Flatten(name="flat")(h)))


@model
def mobile_block() -> keras.Model:
    x = keras.Input((6, 6, 3), name="x")
    h = layers.Conv2D(6, 1, use_bias=False, name="expand")(x)
    h = layers.ReLU(max_value=6.0, name="relu6_1")(layers.BatchNormalization(name="bn_1")(h))
    h = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(h)
    h = layers.ReLU(max_value=6.0, name="relu6_2")(layers.BatchNormalization(name="bn_2")(h))
    h = layers.BatchNormalization(name="bn_3")(layers.Conv2D(3, 1, use_bias=False, name="linear")(h))
    return keras.Model(x, layers.Dense(2, name="out")(layers.GlobalMaxPooling2D(name="pool")(x + h)))


@model
def siamese() -> keras.Model:
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    encoder = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu", name="hidden"), layers.Dense(4, name="code")], name="encoder"
    )
    distance = ops.abs(encoder(left) - encoder(right))
    return keras.Model([left, right], layers.Dense(1, name="same")(distance))


@model
def autoencoder() -> keras.Model:
    x = keras.Input((8,), name="x")
    code = keras.Input((3,), name="code")
    encoder = keras.Model(x, layers.Dense(3, "relu", name="encode")(x), name="encoder")
    decoder = keras.Model(code, layers.Dense(8, name="decode")(code), name="decoder")
    seen = keras.Input((8,), name="seen")
    return keras.Model(seen, ops.square(decoder(encoder(seen)) - seen))


@model
def deep_sets() -> keras.Model:
    x = keras.Input((5, 3), name="x")
    h = layers.Masking(name="present")(x)
    h = layers.TimeDistributed(layers.Dense(6, "relu", name="phi"), name="each")(h)
    h = layers.GlobalAveragePooling1D(name="mean")(h)
    return keras.Model(x, layers.Dense(2, name="rho")(h))


@model
def garnet() -> keras.Model:
    x = keras.Input((6, 3), name="x")
    features = layers.Dense(4, "relu", name="features")(x)
    distance = layers.Dense(2, name="distance")(x)
    weights = ops.maximum(1.0 - ops.abs(distance), 0.0)
    gathered = ops.matmul(ops.transpose(weights, (0, 2, 1)), features)
    neighbours = ops.take(features, [1, 2, 3, 4, 5, 0], axis=1)
    h = ops.concatenate([ops.reshape(gathered, (-1, 8)), ops.max(neighbours - features, axis=1)], axis=-1)
    return keras.Model(x, layers.Dense(2, name="out")(h))


@model
def transformer() -> keras.Model:
    x = keras.Input((4, 4), name="x")
    attended = layers.MultiHeadAttention(2, 2, name="attention")(x, x)
    h = layers.LayerNormalization(name="norm_1")(x + attended)
    inner = layers.Dense(4, name="narrow")(layers.Dense(8, "relu", name="wide")(h))
    h = layers.LayerNormalization(name="norm_2")(h + inner)
    return keras.Model(x, layers.Dense(2, name="out")(ops.mean(h, axis=1)))


@model
def images_in_time() -> keras.Model:
    x = keras.Input((3, 6, 2), name="x")
    h = layers.TimeDistributed(layers.Conv1D(2, 3, activation="relu", name="conv"), name="each_conv")(x)
    h = layers.TimeDistributed(layers.Flatten(name="flat"), name="each_flat")(h)
    return keras.Model(x, layers.Dense(2, name="out")(layers.LSTM(3, name="memory")(h)))


@model
def wave_net() -> keras.Model:
    x = keras.Input((8, 2), name="x")
    h, skips = layers.Conv1D(3, 1, name="stem")(x), []
    for dilation in (1, 2):
        both = layers.Conv1D(6, 2, padding="causal", dilation_rate=dilation, name=f"dilated_{dilation}")(h)
        value, gate = ops.split(both, 2, axis=-1)
        value = layers.Activation("tanh", name=f"value_{dilation}")(value)
        gate = layers.Activation("sigmoid", name=f"gate_{dilation}")(gate)
        skip = layers.Conv1D(3, 1, name=f"skip_{dilation}")(value * gate)
        skips.append(skip)
        h = h + skip
    return keras.Model(x, layers.Conv1D(1, 1, name="out")(ops.relu(layers.Add(name="skips")(skips))))


@model
def image_and_vector() -> keras.Model:
    image, vector = keras.Input((4, 4, 1), name="image"), keras.Input((3,), name="vector")
    h = layers.Flatten(name="flat")(layers.Conv2D(2, 3, activation="relu", name="conv")(image))
    h = layers.Concatenate(name="join")([h, layers.Dense(4, "relu", name="dense")(vector)])
    return keras.Model([image, vector], layers.Dense(2, name="out")(h))


@model
def shared_layer() -> keras.Model:
    x = keras.Input((6,), name="x")
    shared = layers.Dense(6, "relu", name="shared")
    return keras.Model(x, layers.Dense(2, name="out")(shared(shared(x)) + x))


@model
def nested() -> keras.Model:
    def block(name: str) -> keras.Model:
        inner = keras.Input((6,))
        return keras.Model(inner, ops.relu(layers.Dense(6, name=f"{name}_dense")(inner)) - inner, name=name)

    inner = keras.Input((6,))
    pair = keras.Model(inner, block("second")(block("first")(inner)), name="pair")
    x = keras.Input((6,), name="x")
    return keras.Model(x, layers.Dense(2, name="out")(pair(x)))


@model
def d_linear() -> keras.Model:
    x = keras.Input((8, 2), name="x")
    trend = layers.AveragePooling1D(3, strides=1, padding="same", name="trend")(x)
    season = x - trend
    forecast = [
        layers.Dense(4, name=name)(ops.transpose(part, (0, 2, 1))) for name, part in (("slow", trend), ("fast", season))
    ]
    centred = x - ops.mean(x, axis=1, keepdims=True)
    return keras.Model(x, ops.transpose(forecast[0] + forecast[1], (0, 2, 1)) + centred[:, -4:])


@model
def highway() -> keras.Model:
    x = keras.Input((6,), name="x")
    h = layers.Dense(6, "relu", name="transform")(x)
    gate = layers.Dense(6, "hard_sigmoid", name="gate")(x)
    return keras.Model(x, layers.Dense(2, name="out")(gate * h + (1.0 - gate) * x))


@model
def factorization_machine() -> keras.Model:
    x = keras.Input((6,), name="x")
    linear = layers.Dense(1, name="linear")(x)
    factors = layers.Dense(4, use_bias=False, name="factors")(x)
    pairs = 0.5 * ops.sum(ops.square(factors), axis=-1, keepdims=True)
    return keras.Model(x, linear + pairs)


@model
def attention_pooling() -> keras.Model:
    x = keras.Input((4, 3), name="x")
    h = layers.Dense(4, "relu", name="features")(x)
    scores = layers.Softmax(axis=1, name="softmax")(layers.Dense(1, name="scores")(h))
    return keras.Model(x, layers.Dense(2, name="out")(ops.sum(scores * h, axis=1)))


@model
def mlp_mixer() -> keras.Model:
    x = keras.Input((4, 3), name="x")
    tokens = layers.Dense(4, "relu", name="tokens")(layers.Permute((2, 1), name="turn")(x))
    h = x + layers.Permute((2, 1), name="back")(tokens)
    h = h + layers.Dense(3, "relu", name="channels")(h)
    return keras.Model(x, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D(name="mean")(h)))


@model
def maxout() -> keras.Model:
    x = keras.Input((6,), name="x")
    pieces = ops.reshape(layers.Dense(12, name="pieces")(x), (-1, 4, 3))
    return keras.Model(x, layers.Dense(2, name="out")(ops.max(pieces, axis=-1)))


@model
def both_directions() -> keras.Model:
    x = keras.Input((4, 3), name="x")
    h = layers.Bidirectional(layers.GRU(2, return_sequences=True, name="gru"), name="both")(x)
    return keras.Model(x, layers.Dense(2, name="out")(h[:, -1] + h[:, 0]))


@model
def several_outputs() -> keras.Model:
    x = keras.Input((6,), name="x")
    h = layers.Dense(8, "relu", name="body")(x)
    label, momentum = ops.split(h, [5], axis=-1)
    clipped = ops.clip(layers.Dense(1, name="momentum")(momentum), -1.0, 1.0)
    return keras.Model(x, [layers.Dense(3, name="label")(label), clipped])


@model
def gated_by_comparison() -> keras.Model:
    x = keras.Input((6,), name="x")
    h = layers.Dense(6, name="dense")(x)
    h = ops.where(h > 0.5, h, -0.25 * h)
    h = ops.pad(h, ((0, 0), (1, 1)))
    return keras.Model(x, layers.Dense(2, name="out")(ops.flip(h, axis=1) + ops.repeat(h[:, :4], 2, axis=1)))


@model
def words() -> keras.Model:
    x = keras.Input((5,), dtype="int32", name="x")
    h = layers.Embedding(10, 4, mask_zero=True, name="embedding")(x)
    return keras.Model(x, layers.Dense(2, name="out")(layers.LSTM(3, name="memory")(h)))


@model
def vision_transformer() -> keras.Model:
    x = keras.Input((8, 8, 1), name="x")
    patches = layers.Reshape((4, 6), name="patches")(layers.Conv2D(6, 4, strides=4, name="embed")(x))
    places = np.sin(np.arange(24, dtype="float32").reshape(4, 6) / 3.0)
    h = patches + places
    normal = layers.LayerNormalization(name="norm")(h)
    h = h + layers.MultiHeadAttention(2, 3, name="attention")(normal, normal)
    h = h + layers.Dense(6, name="narrow")(layers.Dense(8, "gelu", name="wide")(h))
    return keras.Model(x, layers.Dense(2, name="out")(layers.GlobalAveragePooling1D(name="pool")(h)))


@model
def cells_in_both_directions() -> keras.Model:
    x = keras.Input((4, 3), name="x")
    cells = [layers.GRUCell(3, name="first"), layers.LSTMCell(2, name="second")]
    loop = layers.RNN(cells, return_sequences=True, name="loop")
    h = layers.Bidirectional(loop, merge_mode="sum", name="both")(x)
    return keras.Model(x, layers.Dense(2, name="out")(h[:, -1]))


class Block(keras.Model):
    """A residual block, subclassed."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wide = layers.Dense(units, "relu", name="wide")
        self.narrow = layers.Dense(units, name="narrow")

    def call(self, x: Any) -> Any:
        """Add the input."""
        return ops.relu(x + self.narrow(self.wide(x)))


@model
def subclassed_blocks() -> keras.Model:
    x = keras.Input((6,), name="x")
    twice = Block(6, name="twice")
    return keras.Model(x, layers.Dense(2, name="out")(Block(6, name="once")(twice(twice(x)))))


@model
def physics() -> keras.Model:
    position, velocity = keras.Input((3,), name="position"), keras.Input((3,), name="velocity")
    mass = keras.Input((1,), name="mass")
    energy = 0.5 * mass * ops.sum(velocity**2, axis=-1, keepdims=True)
    distance = ops.sqrt(ops.sum(position**2, axis=-1, keepdims=True) + 0.25)
    h = layers.Concatenate(name="join")([position / distance, velocity, energy, 1.0 / distance])
    h = layers.Dense(8, "relu", name="hidden")(h)
    return keras.Model(
        [position, velocity, mass],
        {"energy": energy + layers.Dense(1, name="correction")(h), "force": layers.Dense(3, name="force")(h)},
    )


@model
def gated_residual() -> keras.Model:
    x, context = keras.Input((8,), name="x"), keras.Input((4,), name="context")
    h = layers.Dense(8, name="own")(x) + layers.Dense(8, use_bias=False, name="other")(context)
    h = layers.Dropout(0.1, name="drop")(layers.Dense(8, name="inner")(ops.elu(h)))
    value, gate = ops.split(layers.Dense(16, name="gated")(h), 2, axis=-1)
    return keras.Model([x, context], layers.LayerNormalization(name="norm")(x + value * ops.sigmoid(gate)))


@model
def block_attention() -> keras.Model:
    x = keras.Input((6, 6, 4), name="x")
    h = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(x)
    fewer, more = layers.Dense(2, "relu", name="fewer"), layers.Dense(4, name="more")
    mean, largest = (reduce(h, axis=(1, 2), keepdims=True) for reduce in (ops.mean, ops.max))
    h = h * ops.sigmoid(more(fewer(mean)) + more(fewer(largest)))
    places = ops.concatenate([reduce(h, axis=-1, keepdims=True) for reduce in (ops.mean, ops.max)], axis=-1)
    h = h * layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="places")(places)
    return keras.Model(x, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D(name="pool")(h)))


@model
def encoder_and_decoder() -> keras.Model:
    source, target = keras.Input((5, 3), name="source"), keras.Input((4, 2), name="target")
    _, state = layers.GRU(4, return_state=True, name="encoder")(source)
    steps, _ = layers.GRU(4, return_sequences=True, return_state=True, name="decoder")(target, initial_state=state)
    words = layers.TimeDistributed(layers.Dense(2, activation="softmax", name="word"), name="words")(steps)
    return keras.Model([source, target], words)


@model
def point_net() -> keras.Model:
    x = keras.Input((10, 3), name="x")
    turn = layers.GlobalMaxPooling1D(name="all")(layers.Conv1D(8, 1, activation="relu", name="each")(x))
    turn = layers.Reshape((3, 3), name="matrix")(layers.Dense(9, name="turn")(turn))
    h = layers.Conv1D(8, 1, name="features")(layers.Dot(axes=(2, 1), name="turned")([x, turn]))
    h = layers.Activation("relu", name="relu")(layers.BatchNormalization(momentum=0.0, name="norm")(h))
    return keras.Model(x, layers.Dense(2, name="out")(layers.GlobalMaxPooling1D(name="largest")(h)))


@model
def mixture_of_experts() -> keras.Model:
    x = keras.Input((6,), name="x")
    shares = layers.Dense(3, activation="softmax", name="shares")(x)
    experts = ops.stack([layers.Dense(4, "relu", name=f"expert_{n}")(x) for n in range(3)], axis=1)
    return keras.Model(x, layers.Dense(2, name="out")(ops.einsum("be,bed->bd", shares, experts)))


@model
def categories_and_numbers() -> keras.Model:
    categories = [keras.Input((1,), dtype="int32", name=f"category_{n}") for n in range(2)]
    numbers = keras.Input((3,), name="numbers")
    embedded = [
        layers.Flatten(name=f"flat_{n}")(layers.Embedding(10, 3, name=f"embedding_{n}")(each))
        for n, each in enumerate(categories)
    ]
    h = layers.Concatenate(name="join")([*embedded, layers.BatchNormalization(name="norm")(numbers)])
    h = layers.Dense(8, "relu", name="hidden")(h)
    return keras.Model([*categories, numbers], layers.Dense(1, "sigmoid", name="out")(h))


@model
def weighted_sets() -> keras.Model:
    x, weight = keras.Input((6, 3), name="x"), keras.Input((6, 1), name="weight")
    weight_sum = ops.maximum(ops.sum(ops.abs(weight), axis=1), 1.0)
    mean = ops.sum(layers.Dense(8, "relu", name="phi")(x) * weight, axis=1) / weight_sum
    return keras.Model([x, weight], layers.Dense(2, name="rho")(mean))


@model
def linear_attention() -> keras.Model:
    x = keras.Input((5, 4), name="x")
    query, key, value = (layers.Dense(4, name=name)(x) for name in ("query", "key", "value"))
    query, key = ops.elu(query) + 1.0, ops.elu(key) + 1.0
    sums = ops.einsum("bnd,bd->bn", query, ops.sum(key, axis=1))
    attended = ops.einsum("bnd,bde->bne", query, ops.einsum("bnd,bne->bde", key, value))
    return keras.Model(x, layers.Dense(2, name="out")(ops.mean(attended / ops.expand_dims(sums, -1), axis=1)))


@model
def instance_normalization() -> keras.Model:
    x = keras.Input((4, 4, 3), name="x")
    h = layers.Conv2D(3, 3, padding="same", name="conv")(x)
    mean, variance = ops.moments(h, axes=(1, 2), keepdims=True)
    h = ops.leaky_relu((h - mean) / ops.sqrt(variance + 0.01), 0.25)
    # With the strides left out, this operation of Keras 3.15 fails on jax.
    return keras.Model(x, layers.Flatten(name="flat")(ops.max_pool(h, 2, strides=2)))
