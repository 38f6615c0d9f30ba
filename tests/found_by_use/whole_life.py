"""The life of a model of one layer, or with one quantizer, from building to circuit: by Python and by the command line.

Run as a program with kinds as arguments, in a separate process; prints one line of JSON for each kind, when it is done.

Tracebacks go to stderr.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import hgq2_core  # first: it chooses the backend
from hgq2_core.discovery.registry import registry
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.quantizers.base import Quantizer

import keras  # isort: skip
import numpy as np  # isort: skip

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
from layer_examples import EXAMPLES

SAMPLES = 40
LINE, IMAGE, VOLUME = (4, 2), (4, 4, 2), (2, 2, 2, 1)
OF_RANK = {"1D": LINE, "2D": IMAGE, "3D": VOLUME, "Random": (4, 4, 3)}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "relu"},
    "Cropping3D": {"cropping": ((1, 0), (0, 0), (0, 0))},
    "Dense": {"units": 2, "activation": "tanh"},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 2)},
    "Embedding": {"input_dim": 5, "output_dim": 2},
    "GRU": {"units": 2},
    "GroupQueryAttention": {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
    "LSTM": {"units": 2},
    "LeakyReLU": {"negative_slope": 0.25},
    "MultiHeadAttention": {"num_heads": 1, "key_dim": 2},
    "Permute": {"dims": (2, 1)},
    "RandomBrightness": {"factor": 0.1},
    "RandomColorDegeneration": {"factor": 0.1},
    "RandomContrast": {"factor": 0.1},
    "RandomHue": {"factor": 0.1},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.1},
    "RandomSaturation": {"factor": 0.1},
    "RandomSharpness": {"factor": 0.1},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
    "RepeatVector": {"n": 2},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"target_shape": (8,)},
    "SimpleRNN": {"units": 2},
    "Dot": {"axes": -1},
    "AlphaDropout": {"rate": 0.1},
    "Dropout": {"rate": 0.1},
    "GaussianDropout": {"rate": 0.1},
    "SpatialDropout1D": {"rate": 0.1},
    "SpatialDropout2D": {"rate": 0.1},
    "SpatialDropout3D": {"rate": 0.1},
    "GaussianNoise": {"stddev": 0.1},
    "GroupNormalization": {"groups": 1},
}
MERGING = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
WITH_KERNEL = ("Conv", "Depthwise", "Separable")


def arguments_of(name: str) -> dict[str, Any]:
    if name in ARGUMENTS:
        return ARGUMENTS[name]
    if not name.startswith(WITH_KERNEL):
        return {"pool_size": 2} if name.startswith(("AveragePooling", "MaxPooling")) else {}
    return {"kernel_size": 2} if name.startswith("Depthwise") else {"filters": 1, "kernel_size": 2}


def keras_layer(name: str) -> keras.layers.Layer:
    if name == "TimeDistributed":
        return keras.layers.TimeDistributed(keras.layers.Dense(2))
    if name == "Bidirectional":
        return keras.layers.Bidirectional(keras.layers.SimpleRNN(2))
    if name in ("RNN", "StackedRNNCells"):
        cells = [keras.layers.LSTMCell(2), keras.layers.GRUCell(2)]
        return keras.layers.RNN(cells[0] if name == "RNN" else keras.layers.StackedRNNCells(cells))
    if name.endswith("Cell"):
        return keras.layers.RNN(getattr(keras.layers, name)(2))
    return getattr(keras.layers, name)(**arguments_of(name))


def keras_model(name: str) -> keras.Model:
    """Make a plain model: a dense layer, whose outputs are what the layer is given."""
    shape = next((shape for rank, shape in OF_RANK.items() if rank in name), (2,) if name == "RepeatVector" else LINE)
    inputs = keras.Input((3,) if name == "Embedding" else shape)
    x = inputs if name == "Embedding" else keras.layers.Dense(shape[-1], name="front")(inputs)
    layer = keras_layer(name)
    if name in MERGING:
        outputs = layer([x, keras.layers.Dense(shape[-1], name="beside")(inputs)])
    else:
        outputs = layer(x, x) if name.endswith("Attention") else layer(x)
    return keras.Model(inputs, outputs)


def with_quantizer(kind: str) -> keras.Model:
    quantizers = dict.fromkeys(("kernel_quantizer", "output_quantizer"), kind)
    if kind == "fixed_point.none":  # a kernel of floats is not exact
        del quantizers["kernel_quantizer"]
    layer = registry().load("layers", "layers.dense")(2, **quantizers)
    return keras.Sequential([keras.Input(LINE), layer])


def own_model(kind: str) -> keras.Model:
    if kind in registry().names("quantizers"):
        return with_quantizer(kind)
    arguments, shape = EXAMPLES[kind][0]
    inputs = [keras.Input(each) for each in shape] if isinstance(shape, list) else keras.Input(shape)
    layer = registry().load("layers", kind)(**arguments)
    given = inputs
    if not any(isinstance(each, Quantizer) for each in layers_of(layer)):  # in front of it there is one
        given = keras.tree.map_structure(registry().load("layers", "layers.quantize")(), inputs)
    return keras.Model(inputs, layer(given))


def samples(model: keras.Model) -> Any:
    random = np.random.default_rng(7)
    arrays = [random.normal(size=(SAMPLES, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


def command(*arguments: Any) -> None:
    from typer.testing import CliRunner

    from hgq2_core.cli.main import app

    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, f"hgq2 {arguments[0]}: {done.output}"


def trained(model: keras.Model, x: Any) -> None:
    targets = keras.tree.map_structure(np.zeros_like, model.predict(x, verbose=0))
    model.compile("sgd", "mse")
    model.fit(x, targets, batch_size=SAMPLES, verbose=0)


def proved(model: keras.Model, x: Any) -> None:
    report = hgq2_core.verify(model, x)
    assert report.ok and not report.trainable, str(report)


def live(model: keras.Model, x: Any, folder: Path) -> dict[str, Any]:
    """Train, calibrate, verify, save, load, freeze, load again and export; return what the circuit costs."""
    trained(model, x)
    hgq2_core.calibrate(model, x)
    proved(model, x)
    wanted = keras.tree.flatten(hgq2_core.freeze(model).predict(x, verbose=0))
    model.save(folder / "model.keras")
    loaded = hgq2_core.load_model(folder / "model.keras")
    proved(loaded, x)
    frozen = hgq2_core.freeze(loaded)
    frozen.save(folder / "frozen.keras")
    again = hgq2_core.load_model(folder / "frozen.keras")
    proved(again, x)
    for one, other in zip(wanted, keras.tree.flatten(again.predict(x, verbose=0)), strict=True):
        assert np.array_equal(one, other), "the outputs have changed on the way"
    circuit = hgq2_core.export(again, "alkaid.alkaid", folder / "circuit")
    return {"ebops": hgq2_core.ebops(model), "circuit": {"cost": circuit.cost, "latency": circuit.latency}}


def check(kind: str, folder: Path) -> dict[str, Any]:
    keras.utils.set_random_seed(5)
    name = kind.removeprefix("keras.")
    if name == kind:
        model = own_model(kind)
        result = live(model, samples(model), folder)
        command("export", folder / "model.keras", "--to", "alkaid", "-o", folder / "by_command")
        return result
    plain = keras_model(name)
    x = samples(plain)
    plain.save(folder / "plain.keras")
    np.savez(folder / "data.npz", x=x, y=plain.predict(x, verbose=0))
    converted = hgq2_core.quantize_model(hgq2_core.load_model(folder / "plain.keras"))
    hgq2_core.fit_ranges(converted, x)
    result = live(converted, x, folder)
    quantized = folder / "quantized.keras"
    command("quantize", folder / "plain.keras", "--data", folder / "data.npz", "-o", quantized)
    command("export", quantized, "--to", "alkaid", "-o", folder / "by_command")
    return result


def main(kinds: list[str]) -> None:
    for kind in kinds:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = {"error": None, **check(kind, Path(folder))}
            except Exception as error:
                traceback.print_exc()
                result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"kind": kind, **result, "seconds": round(time.perf_counter() - start, 1)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
