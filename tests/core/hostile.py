"""Files that nobody should load: each function writes one into a folder, with an innocent model to start from.

What would show that a file was believed: the canary, a file beside the folder that a payload would touch.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
CANARY = "canary"


class Payload:
    """Unpickles to a call."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


class Innocent:
    """The members of a good model file, and how to write a bad one from them."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}

    def config(self) -> dict[str, Any]:
        return json.loads(self.members[CONFIG])

    def with_members(self, path: Path, compression: int = zipfile.ZIP_STORED, **changed: bytes) -> None:
        names = {"config": CONFIG, "weights": WEIGHTS}
        members = {**self.members, **{names[name]: data for name, data in changed.items()}}
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    def with_member(self, path: Path, name: str, data: bytes = b"x") -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for own, content in self.members.items():
                archive.writestr(own, content)
            archive.writestr(name, data)

    def with_config(self, path: Path, change: Callable[[dict[str, Any]], None]) -> None:
        config = self.config()
        change(config)
        self.with_members(path, config=json.dumps(config).encode())

    def with_weights(self, path: Path, change: Callable[[h5py.File], None]) -> None:
        buffer = io.BytesIO(self.members[WEIGHTS])
        with h5py.File(buffer, "r+") as file:
            change(file)
        self.with_members(path, weights=buffer.getvalue())


def layer(config: dict[str, Any]) -> dict[str, Any]:
    """The quantized layer of the innocent model."""
    return config["config"]["layers"][1]


def replaced(entry: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Put another object in the place of the quantized layer."""

    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1] = {**layer(config), **entry}

    return change


def argument(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change an argument of the quantized layer."""

    def change(config: dict[str, Any]) -> None:
        layer(config)["config"][name] = value

    return change


def keras_layer(class_name: str, **arguments: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": arguments, "registered_name": None}


DENSE = {
    **keras_layer("Dense", units=1 << 20),
    "build_config": {"input_shape": [None, 1 << 12]},
}
"""Room for four thousand million weights."""

LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}}


def unbuilt(config: dict[str, Any]) -> None:
    del layer(config)["build_config"]


def frozen(config: dict[str, Any]) -> None:
    layer(config)["config"]["frozen"] = {"kernel": [1024, 1024], "bias": [3]}


def wide(config: dict[str, Any]) -> None:
    layer(config)["config"]["units"] = 1 << 20
    layer(config)["build_config"]["input_shape"] = [None, 1 << 20]


def misshapen(config: dict[str, Any]) -> None:
    """Where a layer fails, Keras tries it out on real values."""
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 1 << 19]
    reshape = keras_layer("Reshape", target_shape=[3], name="q", dtype="float32")
    config["config"]["layers"][1] = {**layer(config), **reshape, "build_config": {"input_shape": [None, 4]}}


def metric(config: dict[str, Any]) -> None:
    table = {"module": "keras.metrics", "class_name": "MeanIoU", "config": {"num_classes": 1 << 20}}
    config["compile_config"] = {"optimizer": "adam", "metrics": [table]}


def other_optimizer(config: dict[str, Any]) -> None:
    config["compile_config"] = {"optimizer": {"module": "os", "class_name": "system", "config": {}}}


def dataset(**arguments: Any) -> Callable[[h5py.File], None]:
    """Add a dataset to the weights."""

    def change(file: h5py.File) -> None:
        file.create_dataset("vars/9", **arguments)

    return change


def link(target: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["vars/9"] = target

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("vars/9", layout)


def cycle(file: h5py.File) -> None:
    file["vars/9"] = file["/"]


def crowd(file: h5py.File) -> None:
    group = file.create_group("crowd")
    for number in range(21_000):
        group.create_group(str(number))


def many_names(file: h5py.File) -> None:
    """One dataset that counts a hundred times."""
    weights = file.create_dataset("weights", data=np.zeros(1000, "f4"))
    for number in range(100):
        file[f"name_{number}"] = weights


def fewer(file: h5py.File) -> None:
    del file["layers"]


def objects(count: int) -> Callable[[dict[str, Any]], None]:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "dtype": "float32"}}

    def change(config: dict[str, Any]) -> None:
        layer(config)["inbound_nodes"] = [{"args": [tensor] * count, "kwargs": {}}]

    return change


def nested(depth: int) -> bytes:
    return b'{"class_name": ' * depth


def symbolic_link(innocent: Innocent, path: Path) -> None:
    link = zipfile.ZipInfo(WEIGHTS)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CONFIG, innocent.members[CONFIG])
        archive.writestr(link, b"/etc/passwd")


def encrypted(innocent: Innocent, path: Path) -> None:
    innocent.with_members(path)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def twice(innocent: Innocent, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        innocent.with_member(path, CONFIG, innocent.members[CONFIG])


def crowded_archive(innocent: Innocent, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5_000):
            archive.writestr(str(number), b"")


def second_directory(innocent: Innocent, path: Path) -> None:
    innocent.with_members(path)
    data = path.read_bytes()
    path.write_bytes(data[:-22] + b"PK\x06\x07" + bytes(16) + data[-22:])


def zip_in_zip(innocent: Innocent, path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(WEIGHTS, bytes(10 << 20))
    innocent.with_members(path, weights=inner.getvalue())


MODELS: dict[str, Callable[[Innocent, Path], None]] = {
    # the archive
    "pickle": lambda innocent, path: path.write_bytes(pickle.dumps(Payload(path.parents[1] / CANARY))),
    "empty": lambda innocent, path: path.write_bytes(b""),
    "pipe": lambda innocent, path: os.mkfifo(path),
    "device": lambda innocent, path: path.symlink_to("/dev/zero"),
    "truncated": lambda innocent, path: path.write_bytes(b"".join(innocent.members.values())[:3000]),
    "sparse": lambda innocent, path: (path.touch(), os.truncate(path, 1 << 40)),
    "traversal": lambda innocent, path: innocent.with_member(path, "../../canary"),
    "absolute": lambda innocent, path: innocent.with_member(path, str(path.parents[1] / CANARY)),
    "assets": lambda innocent, path: innocent.with_member(path, "assets/vocabulary.txt"),
    "symbolic link": symbolic_link,
    "encrypted": encrypted,
    "twice": twice,
    "crowded archive": crowded_archive,
    "second directory": second_directory,
    "bomb": lambda innocent, path: innocent.with_members(path, zipfile.ZIP_DEFLATED, weights=bytes(64 << 20)),
    "bomb of text": lambda innocent, path: innocent.with_members(path, zipfile.ZIP_DEFLATED, config=b" " * (64 << 20)),
    "zip in zip": zip_in_zip,
    # the configuration
    "nested": lambda innocent, path: innocent.with_members(path, config=nested(100_000)),
    "no json": lambda innocent, path: innocent.with_members(path, config=b"(lambda: 1)()"),
    "no utf-8": lambda innocent, path: innocent.with_members(path, config=b'{"\xff": 1}'),
    "a list": lambda innocent, path: innocent.with_members(path, config=b"[]"),
    "many values": lambda innocent, path: innocent.with_members(path, config=b"[" + b"1," * 900_000),
    "many objects": lambda innocent, path: innocent.with_config(path, objects(6_000)),
    "key twice": lambda innocent, path: innocent.with_members(path, config=b'{"class_name": "a", "class_name": "b"}'),
    "nan": lambda innocent, path: innocent.with_config(path, argument("kernel_quantizer", {"b": float("nan")})),
    "infinite": lambda innocent, path: innocent.with_members(
        path, config=innocent.members[CONFIG].replace(b'"b": 8.0', b'"b": 1e999')
    ),
    "lambda layer": lambda innocent, path: innocent.with_config(path, replaced(keras_layer("Lambda", function=LAMBDA))),
    "bytecode": lambda innocent, path: innocent.with_config(path, argument("activation", LAMBDA)),
    "saved model": lambda innocent, path: innocent.with_config(path, replaced(keras_layer("TFSMLayer", filepath="/"))),
    "torch module": lambda innocent, path: innocent.with_config(path, replaced(keras_layer("TorchModuleWrapper"))),
    "jax layer": lambda innocent, path: innocent.with_config(path, replaced(keras_layer("JaxLayer"))),
    "vocabulary": lambda innocent, path: innocent.with_config(
        path, replaced(keras_layer("StringLookup", vocabulary="/etc/passwd"))
    ),
    "os.system": lambda innocent, path: innocent.with_config(
        path, replaced({"module": "os", "class_name": "system", "registered_name": None})
    ),
    "other registered name": lambda innocent, path: innocent.with_config(
        path, replaced({**keras_layer("Dropout", rate=0.1), "registered_name": "mine>Layer"})
    ),
    "legacy layer": lambda innocent, path: innocent.with_config(
        path, lambda config: config["config"]["layers"].append({"class_name": "Lambda", "config": {"function": "x"}})
    ),
    "function of keras": lambda innocent, path: innocent.with_config(
        path, argument("activation", {"module": "builtins", "class_name": "function", "config": "get_file"})
    ),
    "layer as initializer": lambda innocent, path: innocent.with_config(path, argument("kernel_initializer", DENSE)),
    "layer in a plain mapping": lambda innocent, path: innocent.with_config(
        path, argument("kernel_initializer", {"layers": [DENSE]})
    ),
    "other module": lambda innocent, path: innocent.with_config(path, replaced({"module": "os"})),
    "adapter as layer": lambda innocent, path: innocent.with_config(path, argument("kind", "keras.Flatten")),
    "dotted kind": lambda innocent, path: innocent.with_config(path, argument("kind", "os.system")),
    "dotted quantizer": lambda innocent, path: innocent.with_config(
        path, argument("kernel_quantizer", {"kind": "os.system"})
    ),
    "huge number": lambda innocent, path: innocent.with_config(path, argument("units", 10**12)),
    "huge shape": lambda innocent, path: innocent.with_config(
        path, lambda config: layer(config)["build_config"].update(input_shape=[None, 1 << 13, 1 << 13])
    ),
    "huge kernel": lambda innocent, path: innocent.with_config(path, wide),
    "huge constants": lambda innocent, path: innocent.with_config(path, frozen),
    "huge keras layer": lambda innocent, path: innocent.with_config(path, replaced({**DENSE, "inbound_nodes": []})),
    "misshapen": lambda innocent, path: innocent.with_config(path, misshapen),
    "built when called": lambda innocent, path: innocent.with_config(path, unbuilt),
    "metric in a layer": lambda innocent, path: innocent.with_config(
        path,
        argument("kernel_initializer", {"module": "keras.metrics", "class_name": "MeanIoU", "config": {}}),
    ),
    "huge metric": lambda innocent, path: innocent.with_config(path, metric),
    "other optimizer": lambda innocent, path: innocent.with_config(path, other_optimizer),
    # the weights
    "chunked": lambda innocent, path: innocent.with_weights(
        path, dataset(shape=(1 << 40,), dtype="f4", chunks=(1 << 16,), compression="gzip")
    ),
    "unwritten": lambda innocent, path: innocent.with_weights(path, dataset(shape=(1 << 40,), dtype="f4")),
    "elsewhere": lambda innocent, path: innocent.with_weights(
        path, dataset(shape=(16,), dtype="u1", external=[("/etc/passwd", 0, 16)])
    ),
    "virtual": lambda innocent, path: innocent.with_weights(path, virtual),
    "external link": lambda innocent, path: innocent.with_weights(path, link(h5py.ExternalLink("/etc/passwd", "/"))),
    "soft link": lambda innocent, path: innocent.with_weights(path, link(h5py.SoftLink("/layers"))),
    "text": lambda innocent, path: innocent.with_weights(path, dataset(data=["x"], dtype=h5py.string_dtype())),
    "structures": lambda innocent, path: innocent.with_weights(path, dataset(data=np.zeros(2, "i4,f4"))),
    "named type": lambda innocent, path: innocent.with_weights(path, link(np.dtype("f4"))),
    "cycle": lambda innocent, path: innocent.with_weights(path, cycle),
    "many names": lambda innocent, path: innocent.with_weights(path, many_names),
    "crowded weights": lambda innocent, path: innocent.with_weights(path, crowd),
    "half the weights": lambda innocent, path: innocent.with_members(path, weights=innocent.members[WEIGHTS][:2000]),
    "no weights": lambda innocent, path: innocent.with_weights(path, fewer),
}


TINY = "model:\n  inputs: {x: {shape: [4]}}\n  layers: [{kind: dense, units: 2}]\n"


def tiny(line: str) -> str:
    """A config file with a layer in place of the good one."""
    return TINY.replace("{kind: dense, units: 2}", line)


def alias_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 9)])


CONFIGS: dict[str, str] = {
    "object.yaml": "seed: !!python/object/apply:os.system ['touch canary ../canary']\n",
    "tag.yaml": "%TAG ! tag:yaml.org,2002:python/\n---\nseed: !name:os.system\n",
    "aliases.yaml": alias_bomb(),
    "deep.yaml": "a: " + "[" * 100_000,
    "deep.json": '{"a": ' * 100_000,
    "many.yaml": "a: [" + "1," * 490_000 + "]",
    "many.json": '{"a": [' + "1," * 490_000 + "1]}",
    "layers.yaml": "model:\n  inputs: {x: {shape: [4]}}\n  layers:\n" + "  - {kind: dense, units: 2}\n" * 30_000,
    "digits.yaml": TINY + "seed: 0x" + "f" * 900_000,
    "scalar.yaml": TINY + "seed: " + "x" * 900_000,
    "key.yaml": "? " + "k" * 900_000 + "\n: 1",
    "lambda.yaml": tiny("{kind: keras.Lambda, function: 'lambda x: x'}"),
    "dotted.yaml": tiny("{kind: os.system, command: touch canary}"),
    "dotted-argument.yaml": tiny("{kind: dense, units: 2, kernel_initializer: {kind: os.system}}"),
    "activation.yaml": tiny("{kind: dense, units: 2, activation: \"__import__('os')\"}"),
    "units.yaml": tiny("{kind: dense, units: 1000000000000}"),
    "shape.yaml": TINY.replace("[4]", "[16777216, 16777216]"),
    "nan.yaml": tiny("{kind: dense, units: 2, kernel_quantizer: {kind: kbi, b: .nan}}"),
}


def _npz(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def _npy(shape: tuple[int, ...], data: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def _objects(path: Path) -> None:
    np.savez(path, x=np.array([Payload(path.parents[1] / CANARY)], dtype=object), y=np.zeros(1, "int64"))


DATA: dict[str, Callable[[Path], None]] = {
    "objects.npz": _objects,
    "pickle.npz": lambda path: path.write_bytes(pickle.dumps(Payload(path.parents[1] / CANARY))),
    "bomb.npz": lambda path: _npz(path, x=_npy((1 << 25,), bytes(1 << 27)), y=_npy((4,), bytes(16))),
    "lie.npz": lambda path: _npz(path, x=_npy((1 << 40,), bytes(16)), y=_npy((4,), bytes(16))),
    "header.npz": lambda path: _npz(path, x=b"\x93NUMPY\x01\x00\x10\x00__import__('os')", y=b""),
}
