"""A model as data: what is refused, and how it is said."""

import copy
import math

import numpy as np
import pytest
from model_configs import ABSENT, VALID, changed, message

from hgq2_core import ModelConfig
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import listing
from hgq2_core.schema.keras_objects import is_keras_kind, keras_kinds
from hgq2_core.testing import registered

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
GRANULARITY = "Allowed: 'tensor', 'channel', 'element', a list, a mapping."
AXIS = "must be an integer, or a mapping with `axis` and `block`."
FIRST_BITS = "must be a number, a list of numbers, or a mapping with the `kind` of an initializer."
NAME_RULE = "a name begins with a letter or digit and goes on with letters, digits, `_` and `-`."
QUANTIZERS = ", ".join(registry().names("quantizers"))
LAYERS = ", ".join(kind for kind in registry().names("layers") if not is_keras_kind(kind))
LAYERS += ", and keras.<Layer> (hgq2 list layers)"
OPTIMIZERS = (
    "adadelta, adafactor, adagrad, adam, adam_w, adamax, ftrl, lamb, lion, muon, nadam, rmsprop, "
    "schedule_free_adam_w, sgd"
)


# Each: the place that is changed, its new value, and what is said after the file's name.
WRONG = {
    # --- the document
    "misspelt section": (
        ("modle", {}),
        "unknown field 'modle'. Allowed: data, defaults, init_from, model, seed, training. Did you mean 'model'?",
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
        "model.inputs.pixels: unknown field 'dtyp'. Allowed: batch_size, dtype, shape. Did you mean 'dtype'?",
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
    "bits text": ((f"{QUANTIZER}.b", "5"), f"{QUANTIZER}.b: {FIRST_BITS} Received: '5' (str)."),
    "bits a boolean": ((f"{QUANTIZER}.b", True), f"{QUANTIZER}.b: {FIRST_BITS} Received: true (bool)."),
    "bits null": ((f"{QUANTIZER}.b", None), f"{QUANTIZER}.b: {FIRST_BITS} Received: null."),
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
        f"{QUANTIZER}.granularity.1: {AXIS} Received: 'x' (str).",
    ),
    "axis a boolean": (
        (f"{QUANTIZER}.granularity", [True]),
        f"{QUANTIZER}.granularity.0: {AXIS} Received: true (bool).",
    ),
    # --- defaults
    "misspelt role": (
        ("defaults.wieght", {"kind": "kbi"}),
        "defaults: unknown field 'wieght'. Allowed: activation, bias, ebops_beta, enable_ebops, "
        "input_quantizers, output_quantizers, state_quantizers, table, weight. "
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
        "data: unknown dataset kind. Received: 'digit'. Allowed: training.csv, training.digits, training.hdf5, "
        "training.magic, training.npy, training.npz, training.parquet, training.root, training.toy_jets, "
        "training.vowels. Did you mean 'digits'?",
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
        "Allowed: training.beta_schedule, training.early_stopping, training.ebops, training.noise_schedule, "
        "training.pareto_front, and keras.<Callback> (hgq2 list callbacks).",
    ),
    "Keras callback that runs code": (
        ("training.callbacks.0.kind", "keras.LambdaCallback"),
        "training.callbacks.0: unknown Keras callback kind. Received: 'keras.LambdaCallback'. "
        f"Allowed: {listing(keras_kinds('callbacks'))}.",
    ),
    "callback argument": (
        ("training.callbacks.0.point", []),
        "training.callbacks.0: unknown field 'point'. Allowed: interpolation, points. Did you mean 'points'?",
    ),
    "callback mode": (
        ("training.callbacks.0.interpolation", "lin"),
        "training.callbacks.0.interpolation: not allowed. Received: 'lin' (str). Allowed: 'linear', 'log', "
        "'constant', 'cosine', a list. Did you mean 'linear'?",
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
