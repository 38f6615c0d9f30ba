"""A whole model as data: what is refused and how it is said, what is built, and the way back to plain data."""

import copy
import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from hgq2_core import ConfigError, ModelConfig, defaults, ebops, load_config, summary
from hgq2_core.config.reader import parse_yaml
from hgq2_core.config.resolved import resolved
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import listing
from hgq2_core.quantizers.defaults import scoped
from hgq2_core.schema.keras_objects import is_keras_kind, keras_kinds
from hgq2_core.testing import registered

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

VALID = parse_yaml(
    """
seed: 3
defaults:
  weight: {kind: kbi, b: 6, i: 0}
  ebops_beta: 1e-6
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - kind: dense
      name: hidden
      units: 32
      activation: relu
      kernel_quantizer: {kind: kbi, b: 5, granularity: channel}
    - {kind: keras.Dropout, rate: 0.1}
    - {kind: dense, name: logits, units: 10}
data: {kind: digits, test_fraction: 0.25}
training:
  optimizer: {kind: adam, learning_rate: 0.005, bit_learning_rate_scale: 8}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 2
  callbacks: [{kind: beta_schedule, points: [[0, 1e-7], [100, 1e-5]]}]
""",
    "valid",
)

ABSENT = object()
LAYER, QUANTIZER = "model.layers.0", "model.layers.0.kernel_quantizer"
KBI_FIELDS = (
    "b, b_bounds, b_regularizer, fit_to, granularity, i, i_bounds, i_decay, i_regularizer, k, noise, overflow_mode, "
    "round_mode, scale_gradient, trainable"
)
DENSE_FIELDS = (
    "accumulator_bits, activation, activity_regularizer, bias_constraint, bias_initializer, bias_quantizer, "
    "bias_regularizer, dtype, ebops_beta, ebops_factor, enable_ebops, input_quantizer, kernel_constraint, "
    "kernel_initializer, kernel_quantizer, kernel_regularizer, name, output_quantizer, parallelization_factor, "
    "trainable, units, use_bias"
)
GRANULARITY = "Allowed: 'tensor', 'channel', 'element', a list."
NAME_RULE = "a name begins with a letter or digit and goes on with letters, digits, `_` and `-`."
QUANTIZERS = ", ".join(registry().names("quantizers"))
LAYERS = ", ".join(kind for kind in registry().names("layers") if not is_keras_kind(kind))
LAYERS += ", and keras.<Layer> (hgq2 list layers)"
OPTIMIZERS = (
    "adadelta, adafactor, adagrad, adam, adam_w, adamax, ftrl, lamb, lion, muon, nadam, rmsprop, "
    "schedule_free_adam_w, sgd"
)


def changed(path: str, value: object) -> dict:
    """Return the valid document with one value replaced, added or taken away."""
    document = copy.deepcopy(VALID)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    node = document
    for parent in parents:
        node = node[parent]
    if value is ABSENT:
        del node[last]
    else:
        node[last] = value
    return document


def message(document: object) -> str:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.parse(document, "digits.yaml")
    return str(caught.value)


# Each: the place that is changed, its new value, and what is said after the file's name.
WRONG = {
    # --- the document
    "misspelt section": (
        ("modle", {}),
        "unknown field 'modle'. Allowed: data, defaults, model, seed, training. Did you mean 'model'?",
    ),
    "no model": (("model", ABSENT), "model: is missing."),
    "model null": (("model", None), "model: must be a mapping. Received: null."),
    "seed negative": (("seed", -1), "seed: must be greater than or equal to 0. Received: -1 (int)."),
    "seed a boolean": (("seed", True), "seed: must be an integer. Received: true (bool)."),
    "seed too large": (("seed", 1 << 32), "seed: must be less than 4294967296. Received: 4294967296 (int)."),
    # --- the model
    "misspelt model field": (
        ("model.layer", []),
        "model: unknown field 'layer'. Allowed: inputs, layers, name, outputs. Did you mean 'layers'?",
    ),
    "no layers": (("model.layers", []), "model.layers: must be a list of at least 1 item. Received: []."),
    "no inputs": (("model.inputs", {}), "model.inputs: must be a mapping of at least 1 item. Received: {}."),
    "inputs a list": (("model.inputs", []), "model.inputs: must be a mapping. Received: []."),
    "model name": (("model.name", "a/b"), f"model.name: {NAME_RULE} Received: 'a/b' (str)."),
    "input name": (("model.inputs", {"a b": {"shape": [2]}}), f"model.inputs.a b: {NAME_RULE} Received: 'a b' (str)."),
    "shape a number": (
        ("model.inputs.pixels.shape", 64),
        "model.inputs.pixels.shape: must be a list. Received: 64 (int).",
    ),
    "shape of zero": (
        ("model.inputs.pixels.shape", [0]),
        "model.inputs.pixels.shape.0: must be greater than 0. Received: 0 (int).",
    ),
    "misspelt input field": (
        ("model.inputs.pixels.dtyp", "float32"),
        "model.inputs.pixels: unknown field 'dtyp'. Allowed: dtype, shape. Did you mean 'dtype'?",
    ),
    "input dtype": (
        ("model.inputs.pixels.dtype", "float16"),
        "model.inputs.pixels.dtype: not allowed. Received: 'float16' (str). Allowed: 'float32', 'float64', 'int32'. "
        "Did you mean 'float64'?",
    ),
    # --- a layer
    "misspelt layer field": (
        (f"{LAYER}.unit", 3),
        f"{LAYER}: unknown field 'unit'. Allowed: {DENSE_FIELDS}. Did you mean 'units'?",
    ),
    "units missing": ((f"{LAYER}.units", ABSENT), f"{LAYER}.units: is missing."),
    "units a float": ((f"{LAYER}.units", 5.0), f"{LAYER}.units: must be an integer. Received: 5.0 (float)."),
    "units text": ((f"{LAYER}.units", "32"), f"{LAYER}.units: must be an integer. Received: '32' (str)."),
    "units a boolean": ((f"{LAYER}.units", True), f"{LAYER}.units: must be an integer. Received: true (bool)."),
    "units negative": ((f"{LAYER}.units", -1), f"{LAYER}.units: must be greater than 0. Received: -1 (int)."),
    "units huge": (
        (f"{LAYER}.units", 10**12),
        f"{LAYER}.units: must be less than or equal to 16777216. Received: 1000000000000 (int).",
    ),
    "activation": (
        (f"{LAYER}.activation", "gelu"),
        f"{LAYER}.activation: the activation inside a quantized layer is one that needs no table. "
        "Received: 'gelu' (str). Allowed: linear, relu. Did you mean 'relu'? "
        "For another one, keep the layer linear and put unary_function (QUnaryFunction), a table, after it.",
    ),
    "regularizer": (
        (f"{LAYER}.kernel_regularizer", "l3"),
        f"{LAYER}.kernel_regularizer: unknown regularizer. Received: 'l3' (str). "
        "Allowed: l1, l1_l2, l1l2, l2, orthogonal_regularizer.",
    ),
    "initializer argument": (
        (f"{LAYER}.kernel_initializer", {"kind": "constant", "vlue": 3}),
        f"{LAYER}.kernel_initializer: unknown argument 'vlue'. Allowed: value. Did you mean 'value'?",
    ),
    "initializer a number": (
        (f"{LAYER}.kernel_initializer", 3),
        f"{LAYER}.kernel_initializer: must be one of Keras' initializers: a name, a mapping with `kind`, or the "
        "object. Received: 3 (int).",
    ),
    "layer dtype": (
        (f"{LAYER}.dtype", "bfloat16"),
        f"{LAYER}.dtype: quantized layers compute in floats that hold exact sums. Received: 'bfloat16' (str). "
        "Allowed: float32, float64.",
    ),
    "layer null": ((LAYER, None), f"{LAYER}: must be a kind of layer, or a mapping with `kind`. Received: null."),
    "layer without kind": (
        (LAYER, {"units": 3}),
        f"{LAYER}: `kind` must be the name of a layer. Received: {{'units': 3}}.",
    ),
    "kind a number": (
        (LAYER, {"kind": 3}),
        f"{LAYER}: `kind` must be the name of a layer. Received: {{'kind': 3}}.",
    ),
    "unknown layer": (
        (f"{LAYER}.kind", "dens"),
        f"{LAYER}: unknown layer kind. Received: 'dens'. Allowed: {LAYERS}. Did you mean 'dense'?",
    ),
    "Python path": (
        (f"{LAYER}.kind", "os.system"),
        f"{LAYER}: unknown layer kind. Received: 'os.system'. Allowed: {LAYERS}.",
    ),
    "entry point path": (
        (f"{LAYER}.kind", "hgq2_layers.core.dense:QDense"),
        f"{LAYER}: unknown layer kind. Received: 'hgq2_layers.core.dense:QDense'. Allowed: {LAYERS}.",
    ),
    "kind of another group": (
        (f"{LAYER}.kind", "kbi"),
        f"{LAYER}: one of the quantizers, not of the layers. Received: 'kbi'. Allowed: {LAYERS}.",
    ),
    "Keras layer without prefix": (
        (LAYER, "Dropout"),
        f"{LAYER}: unknown layer kind. Received: 'Dropout'. Keras' own have a prefix: 'keras.Dropout'.",
    ),
    "Lambda": (
        (f"{LAYER}.kind", "keras.Lambda"),
        f"{LAYER}: unknown Keras layer kind. Received: 'keras.Lambda'. Allowed: {listing(keras_kinds('layers'))}.",
    ),
    "misspelt Keras layer": (
        (f"{LAYER}.kind", "keras.Dens"),
        f"{LAYER}: unknown Keras layer kind. Received: 'keras.Dens'. Allowed: {listing(keras_kinds('layers'))}. "
        "Did you mean 'keras.Dense'?",
    ),
    "layer name": ((f"{LAYER}.name", "a b"), f"{LAYER}.name: {NAME_RULE} Received: 'a b' (str)."),
    "dot in a layer name": ((f"{LAYER}.name", "a.b"), f"{LAYER}.name: {NAME_RULE} Received: 'a.b' (str)."),
    "layer name a number": ((f"{LAYER}.name", 3), f"{LAYER}.name: {NAME_RULE} Received: 3 (int)."),
    # --- a Keras layer
    "misspelt Keras argument": (
        ("model.layers.1.rte", 0.1),
        "model.layers.1: unknown argument 'rte'. Allowed: activity_regularizer, dtype, name, noise_shape, rate, seed, "
        "trainable. Did you mean 'rate'?",
    ),
    "Keras argument missing": (("model.layers.1.rate", ABSENT), "model.layers.1.rate: is missing."),
    "Keras argument out of range": (
        ("model.layers.1.rate", 2.0),
        "model.layers.1: Dropout refuses its arguments: Invalid value received for argument `rate`. "
        "Expected a float value between 0 and 1. Received: rate=2.0",
    ),
    "Keras argument huge": (
        ("model.layers.1", {"kind": "keras.Dense", "units": 10**12}),
        "model.layers.1.units: must be a number from -16777216 to 16777216. Received: 1000000000000 (int).",
    ),
    "Keras argument NaN": (
        ("model.layers.1.rate", math.nan),
        "model.layers.1.rate: must be a number from -16777216 to 16777216. Received: nan (float).",
    ),
    "mapping where Keras takes none": (
        ("model.layers.1.rate", {"kind": "adam"}),
        "model.layers.1.rate: takes no mapping. Received: {'kind': 'adam'}.",
    ),
    # --- the graph
    "name taken": (
        ("model.layers.2.name", "hidden"),
        "model.layers.2.name: the name is taken. Received: 'hidden'. Names differ, inputs included.",
    ),
    "name of an input": (
        ("model.layers.2.name", "pixels"),
        "model.layers.2.name: the name is taken. Received: 'pixels'. Names differ, inputs included.",
    ),
    "unknown source": (
        ("model.layers.2.inputs", ["hiden"]),
        "model.layers.2.inputs: unknown name. Received: 'hiden'. Allowed: dropout, hidden, pixels. "
        "Did you mean 'hidden'?",
    ),
    "forward reference": (
        (f"{LAYER}.inputs", ["logits"]),
        f"{LAYER}.inputs: unknown name. Received: 'logits'. Allowed: pixels. "
        "It comes later, or is this very layer: a model has no cycles.",
    ),
    "cycle": (
        (f"{LAYER}.inputs", "hidden"),
        f"{LAYER}.inputs: unknown name. Received: 'hidden'. Allowed: pixels. "
        "It comes later, or is this very layer: a model has no cycles.",
    ),
    "empty sources": ((f"{LAYER}.inputs", []), f"{LAYER}.inputs: must be a list of names, one at least. Received: []."),
    "layer unused": (
        ("model.layers.2.inputs", ["hidden"]),
        "model.layers.1: nothing takes 'dropout'; name it in `outputs`, or in the `inputs` of a layer.",
    ),
    "input unused": (
        ("model.inputs.more", {"shape": [2]}),
        f"{LAYER}: say which of more, pixels this layer takes: `inputs: [name, ...]`.",
    ),
    "unknown output": (
        ("model.outputs", ["logit"]),
        "model.outputs: unknown name. Received: 'logit'. Allowed: dropout, hidden, logits, pixels. "
        "Did you mean 'logits'?",
    ),
    "output twice": (("model.outputs", ["logits"] * 2), "model.outputs: names differ. Received: 'logits' 2 times."),
    "no outputs": (("model.outputs", []), "model.outputs: must be a list of at least 1 item. Received: []."),
    # --- a quantizer
    "misspelt quantizer field": (
        (f"{QUANTIZER}.granularty", "channel"),
        f"{QUANTIZER}: unknown field 'granularty'. Allowed: {KBI_FIELDS}. Did you mean 'granularity'?",
    ),
    "field of another quantizer": ((f"{QUANTIZER}.f", 4), f"{QUANTIZER}: unknown field 'f'. Allowed: {KBI_FIELDS}."),
    "unknown quantizer": (
        (QUANTIZER, "kbj"),
        f"{QUANTIZER}: unknown quantizer kind. Received: 'kbj'. Allowed: {QUANTIZERS}. Did you mean 'kbi'?",
    ),
    "quantizer without kind": (
        (f"{QUANTIZER}.kind", ABSENT),
        f"{QUANTIZER}: `kind` must be the name of a quantizer. Received: {{'b': 5, 'granularity': 'channel'}}. "
        f"Allowed: {QUANTIZERS}.",
    ),
    "quantizer a number": (
        (QUANTIZER, 3),
        f"{QUANTIZER}: a quantizer is a config, a kind or a mapping with `kind`. Received: 3 (int).",
    ),
    "round mode": (
        (f"{QUANTIZER}.round_mode", "RNDD"),
        f"{QUANTIZER}.round_mode: not allowed. Received: 'RNDD' (str). Allowed: 'TRN', 'TRN_ZERO', 'RND', 'RND_ZERO', "
        "'RND_INF', 'RND_MIN_INF', 'RND_CONV', 'S_RND', 'S_RND_CONV'. Did you mean 'RND'?",
    ),
    "overflow mode": (
        (f"{QUANTIZER}.overflow_mode", "wrap"),
        f"{QUANTIZER}.overflow_mode: not allowed. Received: 'wrap' (str). Allowed: 'WRAP', 'SAT', 'SAT_SYM', "
        "'SAT_ZERO', 'WRAP_SM'. Did you mean 'WRAP'?",
    ),
    "bits NaN": ((f"{QUANTIZER}.b", math.nan), f"{QUANTIZER}.b: must be a finite number. Received: nan (float)."),
    "bits infinite": ((f"{QUANTIZER}.b", math.inf), f"{QUANTIZER}.b: must be a finite number. Received: inf (float)."),
    "bits text": ((f"{QUANTIZER}.b", "5"), f"{QUANTIZER}.b: must be a number. Received: '5' (str)."),
    "bits a boolean": ((f"{QUANTIZER}.b", True), f"{QUANTIZER}.b: must be a number. Received: true (bool)."),
    "bits null": ((f"{QUANTIZER}.b", None), f"{QUANTIZER}.b: must be a number. Received: null."),
    "bits out of bounds": (
        (f"{QUANTIZER}.b", 100),
        f"{QUANTIZER}: b must lie within b_bounds=[0.0, 24.0]. Received: b=100.0.",
    ),
    "bounds absurd": (
        (f"{QUANTIZER}.b_bounds", [0, 1000]),
        f"{QUANTIZER}: b_bounds must be a lower and an upper bound within -60 and 60. "
        "Received: b_bounds=[0.0, 1000.0].",
    ),
    "half of the bounds": ((f"{QUANTIZER}.b_bounds", [0]), f"{QUANTIZER}.b_bounds.1: is missing."),
    "three bounds": (
        (f"{QUANTIZER}.b_bounds", [0, 1, 2]),
        f"{QUANTIZER}.b_bounds: must be a list of at most 2 items. Received: [0, 1, 2].",
    ),
    "sign a boolean": (
        (f"{QUANTIZER}.k", True),
        f"{QUANTIZER}.k: not allowed. Received: true (bool). Allowed: 0, 1.",
    ),
    "sign a float": ((f"{QUANTIZER}.k", 1.0), f"{QUANTIZER}.k: not allowed. Received: 1.0 (float). Allowed: 0, 1."),
    "sign out of range": ((f"{QUANTIZER}.k", 2), f"{QUANTIZER}.k: not allowed. Received: 2 (int). Allowed: 0, 1."),
    "granularity": (
        (f"{QUANTIZER}.granularity", "chanel"),
        f"{QUANTIZER}.granularity: not allowed. Received: 'chanel' (str). {GRANULARITY} Did you mean 'channel'?",
    ),
    "granularity a number": (
        (f"{QUANTIZER}.granularity", 3),
        f"{QUANTIZER}.granularity: not allowed. Received: 3 (int). {GRANULARITY}",
    ),
    "axis text": (
        (f"{QUANTIZER}.granularity", [0, "x"]),
        f"{QUANTIZER}.granularity.1: must be an integer. Received: 'x' (str).",
    ),
    "axis a boolean": (
        (f"{QUANTIZER}.granularity", [True]),
        f"{QUANTIZER}.granularity.0: must be an integer. Received: true (bool).",
    ),
    # --- defaults
    "misspelt role": (
        ("defaults.wieght", {"kind": "kbi"}),
        "defaults: unknown field 'wieght'. Allowed: activation, bias, ebops_beta, enable_ebops, table, weight. "
        "Did you mean 'weight'?",
    ),
    "field in defaults": (("defaults.weight.foo", 1), f"defaults.weight: unknown field 'foo'. Allowed: {KBI_FIELDS}."),
    "beta negative": (
        ("defaults.ebops_beta", -1),
        "defaults.ebops_beta: must be greater than or equal to 0. Received: -1 (int).",
    ),
    "enable a number": (
        ("defaults.enable_ebops", 1),
        "defaults.enable_ebops: must be true or false. Received: 1 (int).",
    ),
    # --- data
    "unknown data": (
        ("data.kind", "digit"),
        "data: unknown dataset kind. Received: 'digit'. Allowed: training.csv, training.digits, training.magic, "
        "training.npz, training.vowels. Did you mean 'digits'?",
    ),
    "misspelt data argument": (
        ("data.test_frction", 0.5),
        "data: unknown field 'test_frction'. Allowed: seed, shape, test_fraction, validation_fraction. "
        "Did you mean 'test_fraction'?",
    ),
    "fraction": (("data.test_fraction", 2.0), "data.test_fraction: must be less than 1. Received: 2.0 (float)."),
    "fractions that do not go together": (
        ("data", {"kind": "digits", "test_fraction": 0.6, "validation_fraction": 0.6}),
        "data: `test_fraction` and `validation_fraction` together must be less than 1, to leave something to train on. "
        "Received: test_fraction=0.6, validation_fraction=0.6",
    ),
    # --- training
    "unknown optimizer": (
        ("training.optimizer.kind", "adm"),
        f"training.optimizer: unknown optimizer kind. Received: 'adm'. Allowed: {OPTIMIZERS}. Did you mean 'adam'?",
    ),
    "optimizer argument": (
        ("training.optimizer.lr", 0.1),
        "training.optimizer: unknown argument 'lr'. Allowed: amsgrad, beta_1, beta_2, bit_learning_rate_scale, "
        "clipnorm, clipvalue, ema_momentum, ema_overwrite_frequency, epsilon, global_clipnorm, "
        "gradient_accumulation_steps, learning_rate, loss_scale_factor, name, use_ema, weight_decay.",
    ),
    "scale of zero": (
        ("training.optimizer.bit_learning_rate_scale", 0),
        "training.optimizer.bit_learning_rate_scale: must be greater than 0. Received: 0 (int).",
    ),
    "schedule argument missing": (
        ("training.optimizer.learning_rate", {"kind": "cosine_decay", "initial_learning_rate": 0.1}),
        "training.optimizer.learning_rate.decay_steps: is missing.",
    ),
    "optimizer null": (
        ("training.optimizer", None),
        "training.optimizer: must be a kind of optimizer, or a mapping with `kind`. Received: null.",
    ),
    "loss argument": (
        ("training.loss.from_logit", True),
        "training.loss: unknown argument 'from_logit'. Allowed: axis, dtype, from_logits, ignore_class, name, "
        "reduction. Did you mean 'from_logits'?",
    ),
    "no loss": (("training.loss", ABSENT), "training.loss: is missing."),
    "metric argument": (
        ("training.metrics", [{"kind": "mean", "nme": 1}]),
        "training.metrics.0: unknown argument 'nme'. Allowed: dtype, name. Did you mean 'name'?",
    ),
    "metrics no list": (
        ("training.metrics", "accuracy"),
        "training.metrics: must be a list. Received: 'accuracy' (str).",
    ),
    "epochs zero": (("training.epochs", 0), "training.epochs: must be greater than 0. Received: 0 (int)."),
    "epochs a float": (("training.epochs", 1.5), "training.epochs: must be an integer. Received: 1.5 (float)."),
    "batch huge": (
        ("training.batch_size", 10**12),
        "training.batch_size: must be less than or equal to 16777216. Received: 1000000000000 (int).",
    ),
    "unknown callback": (
        ("training.callbacks.0.kind", "os.system"),
        "training.callbacks.0: unknown callback kind. Received: 'os.system'. "
        "Allowed: training.beta_schedule, training.ebops, training.noise_schedule, training.pareto_front, "
        "and keras.<Callback> (hgq2 list callbacks).",
    ),
    "Keras callback that writes": (
        ("training.callbacks.0.kind", "keras.ModelCheckpoint"),
        "training.callbacks.0: unknown Keras callback kind. Received: 'keras.ModelCheckpoint'. "
        "Allowed: keras.EarlyStopping, keras.ReduceLROnPlateau, keras.TerminateOnNaN.",
    ),
    "callback argument": (
        ("training.callbacks.0.point", []),
        "training.callbacks.0: unknown field 'point'. Allowed: interpolation, points. Did you mean 'points'?",
    ),
    "callback mode": (
        ("training.callbacks.0.interpolation", "lin"),
        "training.callbacks.0.interpolation: not allowed. Received: 'lin' (str). Allowed: 'linear', 'log'. "
        "Did you mean 'linear'?",
    ),
    "callback arguments that do not go together": (
        ("training.callbacks.0.points", [[5, 1e-6], [0, 1e-5]]),
        "training.callbacks.0: `points` must be pairs whose epochs increase, one at least. "
        "Received: points=[[5, 1e-06], [0, 1e-05]]",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_config_is_refused_with_place_and_remedy(case: str) -> None:
    (path, value), expected = WRONG[case]
    assert message(changed(path, value)) == f"digits.yaml: {expected}"


def test_several_mistakes_are_all_told() -> None:
    document = changed(f"{LAYER}.units", "32")
    document["training"]["epochs"] = 0
    document["seed"] = -1
    assert message(document).splitlines() == [
        f"digits.yaml: {LAYER}.units: must be an integer. Received: '32' (str).",
        "digits.yaml: seed: must be greater than or equal to 0. Received: -1 (int).",
        "digits.yaml: training.epochs: must be greater than 0. Received: 0 (int).",
    ]


def test_a_document_that_is_no_mapping() -> None:
    assert message([]) == "digits.yaml: must be a mapping. Received: []."


def test_an_ambiguous_kind_lists_both() -> None:
    with registered(quantizers={"other.kbi": "other:KBI"}):
        text = message(VALID)
    assert text == (
        "digits.yaml: model.layers.0.kernel_quantizer: ambiguous quantizer kind. Received: 'kbi'. "
        "Allowed: fixed_point.kbi, other.kbi. Write the full kind, such as 'fixed_point.kbi'.\n"
        "digits.yaml: defaults.weight: ambiguous quantizer kind. Received: 'kbi'. "
        "Allowed: fixed_point.kbi, other.kbi. Write the full kind, such as 'fixed_point.kbi'."
    )


def test_the_parsed_document_is_left_alone_and_not_shared() -> None:
    document = copy.deepcopy(VALID)
    config = ModelConfig.parse(document)
    assert document == VALID
    document["model"]["layers"][0]["kernel_quantizer"]["b"] = 9
    document["training"]["callbacks"][0]["points"][0][1] = 7.0
    before = config.to_dict()
    config.build()
    assert config.to_dict() == before
    assert before["model"]["layers"][0]["kernel_quantizer"]["b"] == 5
    assert before["training"]["callbacks"][0]["points"][0][1] == 1e-7


def test_checking_a_config_disturbs_no_random_generator() -> None:
    import random

    random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    ModelConfig.parse(VALID)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


# --- building ---------------------------------------------------------------------------------------------------------

FUNCTIONAL = parse_yaml(
    """
model:
  name: two_towers
  inputs: {left: {shape: [4]}, right: {shape: [4]}}
  layers:
    - {kind: dense, name: a, inputs: left, units: 3}
    - {kind: dense, name: b, inputs: [right], units: 3}
    - {kind: keras.Add, name: sum, inputs: [a, b]}
    - {kind: keras.Concatenate, name: both, inputs: [a, sum], axis: -1}
    - {kind: dense, name: head, units: 2}
  outputs: [head, sum]
""",
    "functional",
)


def layer_configs(model: keras.Model) -> list[dict]:
    return [layer.get_config() for layer in model.layers]


def same(first: keras.Model, second: keras.Model) -> bool:
    weights = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in weights) and len(first.layers) == len(second.layers)


def test_a_chain() -> None:
    model = ModelConfig.parse(VALID).build()
    assert [layer.name for layer in model.layers][:2] == ["pixels", "hidden"]
    assert model.output_shape == (None, 10)
    hidden, logits = model.get_layer("hidden"), model.get_layer("logits")
    # slot, then scope, then role
    quantizer = hidden.kernel_quantizer.config
    assert (quantizer.b, quantizer.i, quantizer.granularity, quantizer.b_regularizer) == (5, 0, "channel", 1e-8)
    assert logits.kernel_quantizer.config.b == 6
    assert float(keras.ops.convert_to_numpy(logits.ebops_beta)) == np.float32(1e-6)
    assert scoped("weight") is None


def test_a_graph() -> None:
    model = ModelConfig.parse(FUNCTIONAL).build()
    assert model.name == "two_towers"
    assert [each.name for each in model.inputs] == ["left", "right"]
    assert [tuple(output.shape) for output in model.outputs] == [(None, 2), (None, 3)]
    left, right = np.ones((5, 4), "float32"), np.zeros((5, 4), "float32")
    head, total = model.predict([left, right], verbose=0)
    assert head.shape == (5, 2) and total.shape == (5, 3)


@pytest.mark.parametrize("document", [VALID, FUNCTIONAL], ids=["chain", "graph"])
def test_plain_data_leads_back_to_the_same_model(document: dict) -> None:
    config = ModelConfig.parse(document)
    plain = json.loads(json.dumps(config.to_dict()))
    again = ModelConfig.parse(plain)
    assert again == config or again.to_dict() == config.to_dict()
    assert same(config.build(), again.build())


def test_plain_data_has_full_kinds_and_only_what_was_given() -> None:
    plain = ModelConfig.parse(VALID).to_dict()
    assert plain["defaults"] == {"weight": {"kind": "fixed_point.kbi", "b": 6.0, "i": 0.0}, "ebops_beta": 1e-6}
    assert plain["model"]["layers"][0] == {
        "kind": "layers.dense",
        "name": "hidden",
        "units": 32,
        "activation": "relu",
        "kernel_quantizer": {"kind": "fixed_point.kbi", "b": 5.0, "granularity": "channel"},
    }
    assert plain["data"] == {"kind": "training.digits", "test_fraction": 0.25}
    assert plain["training"]["callbacks"][0]["kind"] == "training.beta_schedule"


def test_yaml_and_json_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(VALID))
    (tmp_path / "m.json").write_text(json.dumps(VALID))
    from_yaml, from_json = load_config(tmp_path / "m.yaml"), load_config(tmp_path / "m.json")
    assert from_yaml.to_dict() == from_json.to_dict()
    assert same(from_yaml.build(), from_json.build())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_build_and_compile(path: Path) -> None:
    config = load_config(path)
    model = config.build()
    config.training.compile(model)
    assert len(config.training.make_callbacks()) == len(config.training.callbacks)


def test_the_seed_decides() -> None:
    config = ModelConfig.parse(VALID)
    assert same(config.build(), config.build())
    other = ModelConfig.parse({**VALID, "seed": 4})
    assert not same(config.build(), other.build())


def test_a_scope_around_the_build_yields_to_the_config() -> None:
    config = ModelConfig.parse(VALID)
    with defaults(weight={"kind": "kbi", "b": 3}, bias={"kind": "kbi", "b": 3}):
        layer = config.build().get_layer("logits")
    assert layer.kernel_quantizer.config.b == 6
    assert layer.bias_quantizer.config.b == 3


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        (
            "model.layers.0",
            {"kind": "keras.Conv2D", "filters": 2, "kernel_size": 3},
            "model.layers.0 (conv2d): cannot take inputs of shape (None, 64): ",
        ),
        (
            "model.layers.2",
            {"kind": "einsum_dense", "name": "e", "equation": "ab->c", "output_shape": 3},
            "model.layers.2 (e): equation must look like",
        ),
        ("model.inputs.pixels.shape", [None], "model.layers.0 (hidden): cannot take inputs of shape (None, None): "),
    ],
)
def test_what_only_the_build_finds_names_the_layer(path: str, value: object, start: str) -> None:
    config = ModelConfig.parse(changed(path, value))
    with pytest.raises(ConfigError) as caught:
        config.build()
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


def test_bits_learn_at_their_own_rate() -> None:
    from hgq2_core.optimizer import BitOptimizer

    config = ModelConfig.parse(VALID)
    model = config.build()
    config.training.compile(model)
    assert isinstance(model.optimizer, BitOptimizer)
    assert model.optimizer.bit_learning_rate_scale == 8


def test_a_learning_rate_schedule_is_a_kind() -> None:
    schedule = {"kind": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 10}
    config = ModelConfig.parse(changed("training.optimizer", {"kind": "SGD", "learning_rate": schedule}))
    model = config.build()
    config.training.compile(model)
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_data_is_needed_to_load_it() -> None:
    with pytest.raises(ConfigError, match=r"^data: is missing; training needs a data set\.$"):
        ModelConfig.parse(FUNCTIONAL).load_data()


# --- a layer once more, and a model inside ---------------------------------------------------------------------------

NESTED = {
    "seed": 1,
    "defaults": {"weight": {"kind": "kbi", "b": 4}},
    "model": {
        "inputs": {"a": {"shape": [4]}, "b": {"shape": [4]}},
        "layers": [
            {"kind": "dense", "name": "shared", "units": 3, "activation": "relu", "inputs": ["a"]},
            {"layer": "shared", "name": "again", "inputs": ["b"]},
            {"kind": "keras.Concatenate", "inputs": ["shared", "again"]},
            {
                "name": "head",
                "model": {
                    "inputs": {"x": {"shape": [6]}},
                    "layers": [
                        {"kind": "dense", "name": "shared", "units": 5, "activation": "relu"},
                        {"kind": "dense", "name": "out", "units": 2},
                    ],
                },
            },
        ],
    },
}


def test_a_layer_applied_once_more_is_the_same_layer_and_two_circuits():
    model = ModelConfig.parse({**NESTED, "model": {**NESTED["model"], "layers": NESTED["model"]["layers"][:3]}}).build()
    shared = model.get_layer("shared")
    assert len(shared._inbound_nodes) == 2
    assert ebops(model) == 2 * ebops(shared)
    assert [row.name for row in summary(model).layers if row.kind == "layers.dense"] == ["shared", "shared"]


def test_a_model_inside_has_names_and_defaults_of_its_own():
    model = ModelConfig.parse(NESTED).build()
    head = model.get_layer("head")
    assert isinstance(head, keras.Model)
    assert head.get_layer("shared") is not model.get_layer("shared")
    assert head.get_layer("shared").kernel_quantizer.config.b == 4.0
    assert tuple(model.output_shape) == (None, 2)


def test_resolved_nested_models_build_the_same_model():
    config = ModelConfig.parse(NESTED)
    model = config.build()
    complete = resolved(config, model)
    again = ModelConfig.parse(complete)
    assert resolved(again, again.build()) == complete
    for a, b in zip(model.weights, again.build().weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"layer": "shred", "inputs": ["b"]},
            "model.layers.1.layer: must be the name of an earlier layer. Received: 'shred'. Allowed: shared. "
            "Did you mean 'shared'?",
        ),
        (
            {"layer": "a", "inputs": ["b"]},
            "model.layers.1.layer: must be the name of an earlier layer. Received: 'a'. Allowed: shared.",
        ),
        (
            {"layer": "shared", "inputs": ["b"], "units": 3},
            "model.layers.1: unknown field 'units'. Allowed: inputs, layer, name.",
        ),
        (
            {"model": {"inputs": {"x": {"shape": [4]}, "y": {"shape": [4]}}, "layers": [
                {"kind": "keras.Concatenate", "inputs": ["x", "y"]}]}, "inputs": ["b"]},
            "model.layers.1.inputs: must be one for each input of the model: x, y. Received: 1.",
        ),
        (
            {"model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "unit": 4}]}, "inputs": ["b"]},
            "model.layers.1.model.layers.0: unknown field 'unit'. Allowed: accumulator_bits, activation,",
        ),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused(line, message):
    layers = [NESTED["model"]["layers"][0], line, {"kind": "keras.Concatenate", "inputs": ["shared", "a"]}]
    with pytest.raises(ConfigError) as error:
        ModelConfig.parse({**NESTED, "model": {**NESTED["model"], "layers": layers}})
    assert str(error.value).splitlines()[0].startswith(message), str(error.value)


def test_the_only_layer_that_is_wrong_is_told_once():
    with pytest.raises(ConfigError) as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "units": "three"}]}})
    assert str(error.value) == "model.layers.0.units: must be an integer. Received: 'three' (str)."


def test_what_a_layer_says_of_its_inputs_holds_no_terminal_codes():
    layers = [{"kind": "keras.Reshape", "target_shape": [3, 5]}]
    with pytest.raises(ConfigError, match=r"^model\.layers\.0 \(reshape\): cannot take inputs of shape") as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": layers}}).build()
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"kind": "keras.Dense", "units": 1 << 24}], "a weight of shape (4096, 16777216)."),
        ([{"kind": "dense", "units": 1 << 24}], "a weight of shape (4096, 16777216)."),
        ([{"kind": "keras.Dense", "units": 4096}] * 6, "a model has at most 67108864 weights."),
        ([{"kind": "keras.RepeatVector", "n": 1 << 24}], "an output of shape (16777216, 4096)."),
    ],
)  # fmt: skip
def test_sizes_beyond_all_memory_are_refused_before_it_is_taken(layers, message):
    with pytest.raises(ConfigError, match=r"^model\.layers\.\d \(") as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4096]}}, "layers": layers}}).build()
    assert message in str(error.value)


def test_a_chain_that_is_too_long_is_refused_and_models_inside_count_each_time():
    def parse(layers):
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": layers}})

    with pytest.raises(ConfigError) as error:
        parse([{"kind": "keras.ReLU"}] * 501)
    assert str(error.value) == ("model.layers: at most 500 layers, models inside counted each time. Received: 501.")
    inner = {"name": "m", "model": {"inputs": {"y": {"shape": [4]}}, "layers": [{"kind": "keras.ReLU"}] * 100}}
    with pytest.raises(ConfigError, match=r"Received: 600\."):
        parse([inner, *[{"layer": "m"}] * 5])
