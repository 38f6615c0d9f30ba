"""Files made to do harm: each is refused with an error of ours, at once, in little memory, and nothing in it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import hostile
import keras
import numpy as np
import pytest

from hgq2_core import Limits, ModelFileError, calibrate, freeze, load_model
from hgq2_layers import QDense

NO_CLASS = "a class that is not allowed here. Received: "
NO_ZIP = "is not a zip archive as Keras writes it, or is truncated. Allowed: a .keras file."
MEMBERS = "Allowed: config.json, metadata.json, model.weights.h5."
LAYER = "config.json: config.layers.1"

MODELS = {
    "pickle": NO_ZIP,
    "empty": NO_ZIP,
    "pipe": "is not a regular file. Allowed: a .keras file.",
    "device": "is not a regular file. Allowed: a .keras file.",
    "truncated": NO_ZIP,
    "sparse": "is too large. Received: 1099511627776 bytes. Allowed: 268435456.",
    "traversal": f"unexpected member. Received: '../../canary'. {MEMBERS}",
    "absolute": "unexpected member. Received: '/",
    "assets": f"unexpected member. Received: 'assets/vocabulary.txt'. {MEMBERS}",
    "symbolic link": "'model.weights.h5' is a link, a folder or a device. Allowed: a file.",
    "encrypted": "'model.weights.h5' is encrypted. Allowed: plain members.",
    "twice": "'config.json' occurs 2 times. Allowed: once.",
    "crowded archive": NO_ZIP,
    "second directory": NO_ZIP,
    "bomb": "'model.weights.h5' grows too much when it is unpacked. Received: ",
    "bomb of text": "'config.json' is too large. Received: 67108864 bytes. Allowed: 2000000.",
    "zip in zip": "model.weights.h5: cannot be read; the weights are damaged. ",
    "nested": "config.json:1:961: nested deeper than 64 levels",
    "no json": "config.json:1:1: expecting value",
    "no utf-8": "config.json: is not UTF-8. ",
    "a list": "config.json: must be a mapping with `class_name`.",
    "many values": "config.json:1:400000: more than 200000 values; a configuration holds settings, not data",
    "many objects": f"{LAYER}.inbound_nodes.0.args.4997: more than 5000 objects.",
    "key twice": "config.json:1:21: key 'class_name' is given twice, first at line 1, column 2; keep one",
    "nan": f"{LAYER}.config.kernel_quantizer.b: must be a finite number. Received: nan.",
    "infinite": f"{LAYER}.config.kernel_quantizer.b: must be a finite number. Received: inf.",
    "lambda layer": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'Lambda', registered name None. Allowed: ",
    "bytecode": f"{LAYER}.config.activation: {NO_CLASS}module None, class '__lambda__', registered name None. ",
    "saved model": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'TFSMLayer', registered name None. ",
    "torch module": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'TorchModuleWrapper', registered name None. ",
    "jax layer": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'JaxLayer', registered name None. ",
    "vocabulary": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'StringLookup', registered name None. ",
    "os.system": f"{LAYER}: {NO_CLASS}module 'os', class 'system', registered name None. ",
    "other registered name": f"{LAYER}: {NO_CLASS}module 'keras.layers', class 'Dropout', registered name 'mine>",
    "legacy layer": f"config.json: config.layers.2: {NO_CLASS}module None, class 'Lambda', registered name None. ",
    "function of keras": f"{LAYER}.config.activation.config: not a function of Keras. Received: 'get_file'. "
    "Allowed besides those: functions of your own that load_model(file, functions=[…]) is given.",
    "layer as initializer": f"{LAYER}.config.kernel_initializer: {NO_CLASS}module 'keras.layers', class 'Dense', ",
    "layer in a plain mapping": f"{LAYER}.config.kernel_initializer.layers.0: {NO_CLASS}module 'keras.layers', ",
    "other module": f"{LAYER}: module and kind do not belong together. Received: module 'os', kind 'layers.dense'.",
    "adapter as layer": f"{LAYER}: module and kind do not belong together. Received: module 'hgq2_layers.core.dense', ",
    "dotted kind": f"{LAYER}.config.kind: unknown layer kind. Received: 'os.system'. Allowed: ",
    "dotted quantizer": f"{LAYER}: cannot be built. QDense 'q': kernel_quantizer: unknown quantizer kind. Received: ",
    "huge number": f"{LAYER}.config.units: must be a number from -1048576 to 1048576. Received: 1000000000000.",
    "huge shape": f"{LAYER}.build_config.input_shape: the shape is too large. Received: [None, 8192, 8192]. Allowed: ",
    "huge kernel": f"{LAYER}: the layers up to here have 3298540126219 weights, and the file holds 65.",
    "huge constants": f"{LAYER}: the layers up to here have 1048629 weights, and the file holds 65.",
    "huge keras layer": f"{LAYER}: the layers up to here have 4296015872 weights, and the file holds 65.",
    "misshapen": "cannot be loaded; the file is damaged or not a Keras model. ",
    "built when called": f"{LAYER}: `build_config` is missing. Allowed: a model that was built when it was saved.",
    "metric in a layer": f"{LAYER}.config.kernel_initializer: {NO_CLASS}module 'keras.metrics', class 'MeanIoU', ",
    "huge metric": "config.json: compile_config.metrics.0.config.num_classes: must be a number from -256 to 256. ",
    "other optimizer": f"config.json: compile_config.optimizer: {NO_CLASS}module 'os', class 'system', ",
    "chunked": "model.weights.h5: /vars/9 is chunked, virtual or in another file. ",
    "unwritten": "model.weights.h5: /vars/9 is incomplete. Received: shape (1099511627776,), of which 0 bytes ",
    "elsewhere": "model.weights.h5: /vars/9 is chunked, virtual or in another file. ",
    "virtual": "model.weights.h5: /vars/9 is chunked, virtual or in another file. ",
    "external link": "model.weights.h5: /vars/9 is a ExternalLink. Allowed: groups and datasets.",
    "soft link": "model.weights.h5: /vars/9 is a SoftLink. Allowed: groups and datasets.",
    "text": "model.weights.h5: /vars/9 does not hold numbers. Received: dtype object.",
    "structures": "model.weights.h5: /vars/9 does not hold numbers. Received: dtype [('f0', '<i4'), ('f1', '<f4')].",
    "named type": "model.weights.h5: /vars/9 is a Datatype. Allowed: groups and datasets.",
    "cycle": "model.weights.h5: is nested deeper than 64 levels.",
    "many names": "model.weights.h5: its datasets have 404",
    "crowded weights": "model.weights.h5: more than 20000 groups and datasets.",
    "half the weights": "model.weights.h5: cannot be read; the weights are damaged. ",
    "no weights": f"{LAYER}: the layers up to here have 65 weights, and the file holds 0.",
}

TOO_MANY = "more than 20000 values; a configuration holds settings, not data"

CONFIGS = {
    "object.yaml": "1:7: tag !!python/object/apply:os.system is not allowed; a configuration is plain data",
    "tag.yaml": "3:7: tag !!python/name:os.system is not allowed; a configuration is plain data",
    "aliases.yaml": "5:10: aliases repeat more than 10000 values; write fewer",
    "deep.yaml": "1:67: nested deeper than 64 levels",
    "deep.json": "1:385: nested deeper than 64 levels",
    "many.yaml": f"1:39999: {TOO_MANY}",
    "many.json": f"1:40002: {TOO_MANY}",
    "layers.yaml": f"4001:19: {TOO_MANY}",
    "digits.yaml": "4:7: '0xffffffffffffffffffffffffffffffffffffff' is not a int",
    "scalar.yaml": "seed: must be an integer. Received: 'xxxx",
    "key.yaml": "1:3: a key of more than 200 characters",
    "lambda.yaml": "model.layers.0: unknown Keras layer kind. Received: 'keras.Lambda'. Allowed: ",
    "dotted.yaml": "model.layers.0: unknown layer kind. Received: 'os.system'. Allowed: ",
    "dotted-argument.yaml": "model.layers.0.kernel_initializer: unknown initializer kind. Received: 'os.system'. ",
    "activation.yaml": "model.layers.0.activation: the activation inside a quantized layer is one that needs ",
    "units.yaml": "model.layers.0.units: must be less than or equal to 16777216. Received: 1000000000000 (int).",
    "shape.yaml": "model.inputs.x.shape: must have at most 16777216 elements. Received: [16777216, 16777216].",
    "nan.yaml": "model.layers.0.kernel_quantizer.b: must be a finite number. Received: nan (float).",
}

DATA = {
    "objects.npz": "'x' holds Python objects, which are refused; save text by np.array(y, dtype=str): ",
    "pickle.npz": "not a numpy archive (.npz): ",
    "bomb.npz": "'x' grows too much when it is unpacked. Received: ",
    "lie.npz": "'x' cannot be read: ",
    "header.npz": "'x' cannot be read: ",
}

MANY = 10_000_000
"""Calls of Python functions: what the limits admit costs a tenth of that, and a bomb more."""

READ = """
    import json, numpy, resource, sys
    from pathlib import Path
    from hgq2_core import HGQ2Error, load_config, load_model
    from hgq2_training import Npz

    folder = Path(sys.argv[1])
    load_model(folder / "innocent.keras", compile=True).predict(numpy.zeros((1, 4)), verbose=0)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 500_000_000,) * 2)

    def read(path):
        if path.suffix == ".keras":
            return load_model(path, compile=True)
        return Npz(path=str(path)).load() if path.suffix == ".npz" else load_config(path)

    calls = 0

    def count(frame, event, argument):
        global calls
        calls += event == "call"

    said = {}
    for path in sorted((folder / "hostile").iterdir()):
        calls = 0
        sys.setprofile(count)
        try:
            said[path.name] = ["", f"gave {read(path)}"]
        except BaseException as error:
            ours = isinstance(error, HGQ2Error)
            said[path.name] = [type(error).__name__, str(error) if ours else f"not ours: {error!r}"]
        sys.setprofile(None)
        said[path.name].append(calls)
    print(json.dumps(said))
"""


def untrained() -> keras.Model:
    keras.utils.set_random_seed(5)
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, QDense(3, name="q")(inputs))


def model() -> keras.Model:
    built = untrained()
    built.compile("adam", "mean_squared_error", metrics=["mae", keras.metrics.MeanSquaredError()])
    return built


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    untrained().save(folder / "innocent.keras")
    return folder


@pytest.fixture(scope="module")
def said(folder):
    """What became of each file, all read by one process that gets 500 MB once everything is imported."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of a process is read as Linux tells it")
    innocent = hostile.Innocent(folder / "innocent.keras")
    (folder / "hostile").mkdir()
    for name, write in hostile.MODELS.items():
        write(innocent, folder / "hostile" / f"{name}.keras")
    for name, text in hostile.CONFIGS.items():
        (folder / "hostile" / name).write_text(text)
    for name, write_data in hostile.DATA.items():
        write_data(folder / "hostile" / name)
    command = [sys.executable, "-c", dedent(READ), str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder / "hostile")
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.splitlines()[-1])
    assert {path.name for path in folder.iterdir()} == {"hostile", "innocent.keras"}  # above all no canary
    assert not (folder / "hostile" / hostile.CANARY).exists()
    return found


def test_each_file_has_its_message():
    assert (set(MODELS), set(CONFIGS), set(DATA)) == (set(hostile.MODELS), set(hostile.CONFIGS), set(hostile.DATA))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_hostile_model(said, folder, name):
    error, message, calls = said[f"{name}.keras"]
    assert message.removeprefix(f"{folder}/hostile/{name}.keras: ").startswith(MODELS[name])
    assert error == "ModelFileError"
    assert calls < MANY


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config(said, folder, name):
    error, message, calls = said[name]
    assert message.removeprefix(f"{folder}/hostile/{name}:").removeprefix(" ").startswith(CONFIGS[name])
    assert error in ("ConfigError", "KindError")
    assert calls < MANY


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
def test_a_hostile_data_set(said, folder, name):
    error, message, calls = said[name]
    assert message.removeprefix(f"{folder}/hostile/{name}: ").startswith(DATA[name])
    assert error == "DataError"
    assert calls < MANY


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def same(a, b, x):
    return np.array_equal(a.predict(x, verbose=0), b.predict(x, verbose=0))


def test_a_good_model_comes_back_for_prediction(tmp_path, samples):
    saved = model()
    saved.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert same(loaded, saved, samples)
    assert not loaded.compiled


def test_a_good_model_comes_back_to_go_on_training(tmp_path, samples):
    saved, targets = model(), np.ones((50, 3), "float32")
    saved.fit(samples, targets, epochs=2, verbose=0)
    saved.save(tmp_path / "model.keras")
    loaded = load_model(str(tmp_path / "model.keras"), compile=True)
    assert int(loaded.optimizer.iterations) == int(saved.optimizer.iterations) > 0
    assert loaded.evaluate(samples, targets, verbose=0) == saved.evaluate(samples, targets, verbose=0)


def test_a_frozen_model_comes_back(tmp_path, samples):
    saved = model()
    calibrate(saved, samples)
    frozen = freeze(saved)
    frozen.save(tmp_path / "frozen.keras")
    assert same(load_model(tmp_path / "frozen.keras"), frozen, samples)


def test_nested_models_and_keras_layers_come_back(tmp_path, samples):
    layers = keras.layers
    seeded = layers.Dense(4, activation=keras.activations.gelu, kernel_initializer=keras.initializers.HeNormal(3))
    inner = keras.Sequential([keras.Input((4,)), seeded, layers.BatchNormalization(), layers.Dropout(0.2, seed=10**9)])
    inputs = keras.Input((4,))
    saved = keras.Model(inputs, QDense(2)(layers.Add()([inner(inputs), inputs])))
    saved.save(tmp_path / "model.keras")
    assert same(load_model(tmp_path / "model.keras"), saved, samples)


def test_checking_leaves_nothing_behind(folder):
    """Keras would make room for the weights that were only counted when it next leaves a stateless scope."""
    path = folder / "large.keras"
    hostile.MODELS["huge kernel"](hostile.Innocent(folder / "innocent.keras"), path)
    with pytest.raises(ModelFileError, match="3298540126219 weights"):
        load_model(path)
    path.unlink()
    with keras.StatelessScope():
        pass
    assert QDense(1)(np.ones((1, 4), "float32")).shape == (1, 1)


def test_limits_are_arguments(folder):
    path = folder / "innocent.keras"
    for limits, problem in (
        (Limits(file_bytes=1000), "is too large"),
        (Limits(config_bytes=1000), "'config.json' is too large"),
        (Limits(values=10), "more than 10 values"),
        (Limits(elements=3), "the shape is too large"),
        (Limits(objects=2), "more than 2 objects"),
        (Limits(datasets=5), "more than 5 groups and datasets"),
    ):
        with pytest.raises(ModelFileError, match=problem):
            load_model(path, limits=limits)


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelFileError) as caught:
        load_model(tmp_path / "none.keras")
    assert str(caught.value) == f"{tmp_path}/none.keras: no such file. Allowed: a .keras file."
