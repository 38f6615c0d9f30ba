"""Weight decay never reaches the bits, and is named where it did; all else is as with the optimizer by itself."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from arrays import numpy_of
from selection import few, one_in

import hgq2_core
from hgq2_core import BitOptimizer, ConfigError
from hgq2_core.config.model import ModelConfig, Training
from hgq2_core.config.specs import LOSSES
from hgq2_core.model_file.load import load_model
from hgq2_core.optimizer import decayed_bits
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_core.quantizers.defaults import BIT_LEARNING_RATE_SCALE
from hgq2_fixed_point import KIF
from hgq2_layers import QDense
from hgq2_training.callbacks.checkpoint import Checkpoint, state_variables
from hgq2_training.runs import train as training_run
from hgq2_training.runs.convert import ConversionConfig
from hgq2_training.runs.directory import load


def make(policy=None):
    keras.utils.set_random_seed(3)
    config = KIF(overflow_mode="SAT")
    return keras.Sequential(
        [
            keras.Input((4,)),
            QDense(6, "relu", input_quantizer=config, ebops_beta=1e-4, dtype=policy),
            QDense(1, input_quantizer=config, ebops_beta=1e-4, dtype=policy),
        ],
        name="model",
    )


def data(count=64):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return x, x[:, :1] - x[:, 1:2]


def trained(optimizer, steps=4, model=None):
    """A step an epoch, the gradients as large as it takes for every clipping to act."""
    model = model or make()
    model.compile(optimizer, keras.losses.MeanSquaredError(), loss_weights=[100.0])
    model.fit(*data(), batch_size=64, epochs=steps, shuffle=False, verbose=0)
    return model


def values(model):
    return {variable.path: numpy_of(variable) for variable in model.trainable_variables}


def bits(model):
    return [numpy_of(variable) for variable in model.trainable_variables if is_bit_variable(variable)]


WHOLE = {
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.05},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "averages": {"use_ema": True, "ema_momentum": 0.5},
    "averages_written_back": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    "accumulation": {"gradient_accumulation_steps": 2},
    "accumulation_and_all": {"gradient_accumulation_steps": 2, "global_clipnorm": 0.5, "use_ema": True},
    "loss_scaling": {"loss_scale_factor": 1024.0},
}


# The averages become the weights at the end of `fit`, and jax donates the one buffer of both: plain Keras fails alike.
ENDS_WITH_AVERAGES = keras.backend.backend() == "jax"


@pytest.mark.parametrize(("name", "form"), list(one_in(4, [*itertools.product(("SGD", "Adam", "Nadam"), WHOLE)])))
def test_what_acts_on_all_variables_acts_as_with_the_optimizer_by_itself(name, form):
    arguments = WHOLE[form]
    cls = getattr(keras.optimizers, name)
    plain, ours = trained(cls(0.02, **arguments), 5), trained(BitOptimizer(cls(0.02, **arguments), 1.0), 5)
    assert int(numpy_of(plain.optimizer.iterations)) == int(numpy_of(ours.optimizer.iterations))
    for (path, wanted), found in zip(values(plain).items(), values(ours).values(), strict=True):
        assert np.array_equal(wanted, found), path
    assert not all(map(np.array_equal, values(make()).values(), values(ours).values()))


@pytest.mark.parametrize("arguments", WHOLE.values(), ids=WHOLE)
def test_with_decay_only_the_bits_differ_as_from_an_optimizer_that_excludes_them(arguments):
    model = make()
    plain = keras.optimizers.AdamW(0.02, weight_decay=0.5, **arguments)
    plain.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if is_bit_variable(v)])
    plain = trained(plain, 5, model)
    ours = trained(BitOptimizer(keras.optimizers.AdamW(0.02, weight_decay=0.5, **arguments), 1.0), 5)
    for (path, wanted), found in zip(values(plain).items(), values(ours).values(), strict=True):
        assert np.array_equal(wanted, found), path


def test_loss_scaling_around_it_is_as_around_the_optimizer():
    around = keras.optimizers.LossScaleOptimizer
    plain = trained(around(keras.optimizers.Adam(0.02)), 5)
    ours = trained(around(BitOptimizer(keras.optimizers.Adam(0.02), 1.0)), 5)
    for (path, wanted), found in zip(values(plain).items(), values(ours).values(), strict=True):
        assert np.array_equal(wanted, found), path


@pytest.mark.parametrize("around", [keras.optimizers.LossScaleOptimizer, BitOptimizer])
def test_an_optimizer_around_another_is_refused(around):
    with pytest.raises(ConfigError) as caught:
        BitOptimizer(around(keras.optimizers.Adam(0.02)))
    assert str(caught.value) == (
        f"BitOptimizer takes an optimizer that has none inside. Received: {around.__name__}. "
        "Loss scaling goes around it: keras.optimizers.LossScaleOptimizer(BitOptimizer(optimizer))."
    )


def decayed(optimizer):
    """The optimizer's steps on gradients of 0: all that moves is decay."""
    model = make()
    before = {variable.path: (numpy_of(variable), is_bit_variable(variable)) for variable in model.trainable_variables}
    zeros = [keras.ops.zeros_like(variable.value) for variable in model.trainable_variables]
    for _ in range(2):
        optimizer.apply(zeros, model.trainable_variables)
    return {path for path, value in values(model).items() if not np.array_equal(value, before[path][0])}, before


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Lion", "Muon", "RMSprop"])
def test_no_optimizer_decays_the_bits(name):
    moved, before = decayed(BitOptimizer(getattr(keras.optimizers, name)(0.01, weight_decay=0.5)))
    assert moved == {path for path, (value, bit) in before.items() if not bit and value.any()}


def test_what_the_optimizer_excludes_stays_excluded():
    inner = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    inner.exclude_from_weight_decay(var_names=["kernel"])
    ours = BitOptimizer(keras.optimizers.AdamW(0.01, weight_decay=0.5))
    ours.exclude_from_weight_decay(var_names=["kernel"])
    assert decayed(BitOptimizer(inner))[0] == decayed(ours)[0] == set()


# --- configs ---------------------------------------------------------------------------------------------------------


def config(**optimizer):
    return ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "units": 1}]},
            "training": {"loss": "mean_squared_error", "optimizer": optimizer, "epochs": 1},
        }
    )


@pytest.mark.parametrize("scale", [{}, {"bit_learning_rate_scale": 1.0}, {"bit_learning_rate_scale": 8.0}], ids=str)
@pytest.mark.parametrize("kind", [{"kind": "adam_w"}, {"kind": "sgd", "weight_decay": 0.1}, {"kind": "muon"}], ids=str)
def test_a_config_never_decays_bits(kind, scale):
    chosen = config(**kind, **scale)
    model = chosen.build()
    chosen.training.compile(model)
    assert isinstance(model.optimizer, BitOptimizer)
    assert model.optimizer.bit_learning_rate_scale == scale.get("bit_learning_rate_scale", BIT_LEARNING_RATE_SCALE)


def test_a_config_without_decay_and_scale_has_the_optimizer_itself():
    chosen = config(kind="adam", bit_learning_rate_scale=1.0)
    model = chosen.build()
    chosen.training.compile(model)
    assert not isinstance(model.optimizer, BitOptimizer)


RUN = {
    "model": {
        "inputs": {"x": {"shape": [64]}},
        "layers": [{"kind": "dense", "units": 10, "kernel_quantizer": {"kind": "kbi"}}],
    },
    "data": {"kind": "digits"},
    "training": {
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "optimizer": {"kind": "adam_w"},
        "epochs": 1,
        "batch_size": 512,
    },
}


def test_a_converted_model_is_compiled_so_that_bits_are_not_decayed():
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    plain.compile(keras.optimizers.AdamW(0.25), "mse", metrics=["mae"])
    converted = ConversionConfig().convert(plain)
    assert isinstance(converted.optimizer, BitOptimizer)
    assert float(numpy_of(converted.optimizer.learning_rate)) == 0.25
    converted.fit(*data(), verbose=0)
    assert not decayed_bits(converted)
    assert set(converted.get_metrics_result()) == {"loss", "mae"}


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(keras.saving.load_model, id="keras", marks=pytest.mark.slow),
        pytest.param(lambda path: load_model(path, compile=True), id="ours"),
    ],
)
@pytest.mark.parametrize("form", few(WHOLE, "averages_written_back", "accumulation_and_all", "loss_scaling"))
def test_training_goes_on_after_loading(form, load, tmp_path):
    arguments = WHOLE[form]
    if ENDS_WITH_AVERAGES and "use_ema" in arguments:
        pytest.skip("on jax Keras cannot train a model again that was trained with use_ema")
    straight = trained(BitOptimizer(keras.optimizers.AdamW(0.02, weight_decay=0.5, **arguments), 4.0), 3)
    straight.save(tmp_path / "model.keras")
    again = load(tmp_path / "model.keras")
    assert again.optimizer.get_config() == straight.optimizer.get_config()
    for model in (straight, again):
        model.fit(*data(), batch_size=64, epochs=3, shuffle=False, verbose=0)
    for wanted, found in zip(straight.trainable_variables, again.trainable_variables, strict=True):
        assert np.array_equal(numpy_of(wanted), numpy_of(found)), wanted.path


@pytest.mark.once
@pytest.mark.slow
def test_it_loads_in_a_fresh_process(tmp_path, fresh_python):
    model = trained(hgq2_core.BitOptimizer("adamw"), 1)
    model.save(tmp_path / "model.keras")
    script = """
        import hgq2_core, json, keras
        model = keras.saving.load_model("model.keras")
        print(json.dumps([type(model.optimizer).__module__, type(model.optimizer.weight_optimizer).__name__]))
    """
    assert fresh_python(script) == ["hgq2_core.optimizer", "AdamW"]


# --- runs of before --------------------------------------------------------------------------------------------------


NO_DECAY = {
    "AdamW": {"weight_decay": 0.0},
    "Nadam": {},
    "SGD": {"momentum": 0.5},
    "Muon": {"weight_decay": 0.0, "adam_weight_decay": 0.0},
}


@pytest.mark.parametrize("name", NO_DECAY)
@pytest.mark.parametrize("rate", [0.02, keras.optimizers.schedules.ExponentialDecay(0.02, 2, 0.5)], ids=type)
def test_the_state_of_an_optimizer_by_itself_is_taken_over(name, rate, tmp_path):
    arguments = {**NO_DECAY[name], "gradient_accumulation_steps": 2, "use_ema": not ENDS_WITH_AVERAGES}
    cls = getattr(keras.optimizers, name)
    before = trained(cls(rate, **arguments), 3)
    values = [numpy_of(variable) for variable in state_variables(before)]
    Checkpoint(3, False, 0.0, values, []).write(tmp_path / "checkpoint.npz")
    after = make()
    after.compile(BitOptimizer(cls(rate, **arguments), 1.0), before.loss, loss_weights=[100.0])
    found = Checkpoint.read(tmp_path / "checkpoint.npz")
    found.check(after, tmp_path)
    found.restore(after)
    for model in (before, after):
        model.fit(*data(), batch_size=64, epochs=3, shuffle=False, verbose=0)
    for wanted, found in zip(before.trainable_variables, after.trainable_variables, strict=True):
        assert np.array_equal(numpy_of(wanted), numpy_of(found)), wanted.path


def test_a_run_of_a_decaying_optimizer_by_itself_resumes(tmp_path, monkeypatch):

    def compile_as_before(training, model, steps):
        model.compile(keras.optimizers.AdamW(), LOSSES.make(training.loss))

    with monkeypatch.context() as patch:
        patch.setattr(Training, "compile", compile_as_before)
        # Its end is not asked for: that names the decay.
        patch.setattr(training_run, "finalize_run", lambda *arguments, **options: None)
        training_run.train(ModelConfig.parse(RUN), tmp_path / "run")
    run = training_run.resume(tmp_path / "run", epochs=2)
    assert run.verification.ok
    assert isinstance(load(tmp_path / "run").optimizer, BitOptimizer)


# --- what it says ----------------------------------------------------------------------------------------------------

SEEN = "AdamW has pulled 10 bit variables towards 0 by weight decay"
REMEDY = (
    "Compile with hgq2_core.BitOptimizer(optimizer), which decays weights alone, and train again. "
    "(What an optimizer of Keras' own excludes from decay is not saved with a model.)"
)


def messages(call):
    with pytest.warns(UserWarning) as caught:
        call()
    return [str(each.message) for each in caught if each.category is UserWarning]


def test_calibrate_verify_and_doctor_name_decayed_bits():
    model = trained(keras.optimizers.AdamW(0.01, weight_decay=0.5))
    x = data()[0]
    assert messages(lambda: hgq2_core.calibrate(model, x)) == [f"calibrate: {SEEN}. {REMEDY}"]
    assert messages(lambda: hgq2_core.verify(model, x)) == [f"verify: {SEEN}. {REMEDY}"]
    found = [finding for finding in hgq2_core.doctor(model, x).findings if finding.check.name == "decayed_bits"]
    assert [(each.severity, each.place, each.seen, each.remedy) for each in found] == [
        ("warning", "model", SEEN, REMEDY)
    ]


def test_they_name_them_of_a_loaded_model_too(tmp_path):
    trained(keras.optimizers.AdamW(0.01, weight_decay=0.5)).save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras", compile=True)
    assert messages(lambda: hgq2_core.calibrate(model, data()[0])) == [f"calibrate: {SEEN}. {REMEDY}"]


def excluding(model):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if is_bit_variable(v)])
    return optimizer


def test_they_are_silent_where_no_bit_was_decayed():
    models = {name: make() for name in ("excluding", "ours", "without", "not stepped", "not compiled", "scaled")}
    trained(excluding(models["excluding"]), 1, models["excluding"])
    trained(BitOptimizer(keras.optimizers.AdamW(0.01, weight_decay=0.5)), 1, models["ours"])
    trained(keras.optimizers.Adam(0.01), 1, models["without"])
    models["not stepped"].compile(keras.optimizers.AdamW(0.01, weight_decay=0.5), "mse")
    scaled = keras.optimizers.LossScaleOptimizer(BitOptimizer(keras.optimizers.AdamW(0.01, weight_decay=0.5)))
    trained(scaled, 1, models["scaled"])
    for model in models.values():  # a warning is an error here
        hgq2_core.calibrate(model, data()[0])
        assert hgq2_core.verify(model, data()[0]).ok
        assert not any(f.check.name == "decayed_bits" for f in hgq2_core.doctor(model, data()[0]).findings)


def test_loss_scaling_hides_no_decay():
    model = trained(keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.01, weight_decay=0.5)), 2)
    assert any(f.check.name == "decayed_bits" for f in hgq2_core.doctor(model, data()[0]).findings)
