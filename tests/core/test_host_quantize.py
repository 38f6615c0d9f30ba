"""What a host gives to an export: `host_quantize`, and the files of C and Python, are the model's first quantizers."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, DataError, host_quantize
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.host_files import write_host
from hgq2_core.exporting.inputs import Format, HostInputs
from hgq2_core.exporting.ports import Ports
from hgq2_core.exporting.steps import step_functions

ROUNDINGS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO", "WRAP_SM")
BITS = [(1, 2, 3), (0, 3, 2), (1, -1, 4), (1, 4, -1), (0, 0, 1), (1, 0, 0), (1, 40, 20), (0, 62, 0), (1, -20, 24)]
FORMATS = [
    Format(k, i, f, rounding, overflow)
    for k, i, f in BITS
    for rounding in ROUNDINGS
    for overflow in OVERFLOWS
    if k or overflow != "WRAP_SM"
]


def hostile(size, dtype=np.float32):
    """Ties, values near them, overflow, huge and tiny values, and both zeros."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    values = [0.0, -0.0, info.max, -info.max, info.tiny, -info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
    ties = rng.integers(-200, 200, 300) / 32
    powers = np.ldexp(rng.choice([-1.0, 1.0], 200), rng.integers(-140, 127, 200))
    near = np.nextafter(ties.astype(dtype), dtype(np.inf))
    numbers = np.concatenate([values, ties, near, powers, powers * 1.25, rng.normal(size=200) * 8]).astype(dtype)
    return rng.choice(numbers, size=(400, size))


def ports_of_formats():
    """One input of four numbers, each of which enters in many formats."""
    inputs = HostInputs([keras.KerasTensor((None, 4), name="x")])
    for raw in inputs.raw()[0].ravel():
        for wanted in FORMATS[raw.place :: 4]:
            inputs.enter(raw, wanted)
    return Ports(inputs=inputs.ports(), outputs=())


def wanted_of(ports, x):
    """The integers' answer, element by element."""
    columns = []
    for e in ports.inputs[0].elements:
        exact = Integers().quantize(from_float(x[:, e.place]), e.k, e.i, e.f, e.round_mode, e.overflow_mode)
        shifted = Integers().shift(exact, e.f)
        columns.append([int(n) << -shifted.exponent for n in shifted.data])
    return np.array(columns, dtype=np.int64).T


@functools.cache
def minifloat_ports():
    """A step function of a minifloat, beside a fixed-point format of the same number."""
    from hgq2_minifloat.exact import exact_quantize

    inputs = HostInputs([keras.KerasTensor((None, 3), name="energies/raw")])
    raw = inputs.raw()[0]
    forms = np.array([[2, 3, 0], [1, 2, 1], [3, 4, 0]])
    inputs.enter_steps(raw, lambda arrays, x: exact_quantize(arrays, x, forms[np.newaxis], np.inf))
    inputs.enter(raw[0, 1], Format(1, 3, 4, "RND", "WRAP"))
    return Ports(inputs=inputs.ports(), outputs=())


@pytest.fixture(scope="module", params=[ports_of_formats, minifloat_ports], ids=["fixed point", "minifloat"])
def ports(request):
    return request.param()


def test_every_rounding_and_overflow_is_that_of_the_integers():
    ports = ports_of_formats()
    x = hostile(4)
    assert np.array_equal(host_quantize(ports, x)["x"], wanted_of(ports, x))


def test_doubles_are_exact_too():
    inputs = HostInputs([keras.KerasTensor((None, 1), name="x", dtype="float64")])
    for wanted in FORMATS:
        inputs.enter(inputs.raw()[0][0, 0], wanted)
    ports = Ports(inputs=inputs.ports(), outputs=())
    x = hostile(1, np.float64)
    assert np.array_equal(host_quantize(ports, x)["x"], wanted_of(ports, x))


def test_a_minifloat_is_a_step_function_in_the_smallest_format_of_its_values():
    from hgq2_minifloat.arithmetic import quantize

    (port,) = minifloat_ports().inputs
    x = hostile(3)
    got = host_quantize(Ports(inputs=(port,), outputs=()), x)[port.name]
    assert [element.place for element in port.elements] == [0, 1, 1, 2]
    for column, form in zip((0, 1, 3), ((2, 3, 0), (1, 2, 1), (3, 4, 0)), strict=True):
        element = port.elements[column]
        assert np.array_equal(np.ldexp(got[:, column].astype(float), -element.f), quantize(x[:, element.place], *form))
        values = np.array(port.steps[element.steps].values)
        assert element.width == element.k + int(np.abs(values).max()).bit_length()
        assert (values % 2 == 1).any()


def test_the_file_of_python_gives_the_same(ports, tmp_path):
    write_host(tmp_path, ports)
    spec = importlib.util.spec_from_file_location("host_quantize", tmp_path / "host_quantize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (port,) = ports.inputs
    x = hostile(port.shape[0])
    described = module.read_ports()
    got = [module.quantize(described, {port.name: row.tolist()})[port.name] for row in x[:100]]
    assert np.array_equal(got, host_quantize(tmp_path, x)[port.name][:100])
    with pytest.raises(ValueError, match="NaN and infinite values have no number"):
        module.quantize(described, {port.name: [float("nan")] * port.shape[0]})


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "suffix"), [("cc", "c"), ("g++", "cpp")])
def test_the_file_of_c_gives_the_same(ports, compiler, suffix, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    write_host(tmp_path, ports)
    (port,) = ports.inputs
    name = re.sub(r"\W", "_", port.name)
    extern = 'extern "C" ' if suffix == "cpp" else ""
    source = tmp_path / f"wrapper.{suffix}"
    source.write_text(
        f'#include "host_quantize.h"\n{extern}int apply(const float *x, int64_t *out);\n'
        f"int apply(const float *x, int64_t *out) {{ return host_quantize_{name}(x, out); }}\n"
    )
    standard = "-std=c99" if suffix == "c" else "-std=c++17"
    options = [standard, "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC", "-o", "wrapper.so"]
    subprocess.run([compiler, *options, source.name, "-lm"], cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "wrapper.so"))
    x = np.ascontiguousarray(hostile(port.shape[0]))
    got = np.zeros((len(x), len(port.elements)), dtype=np.int64)
    for row, out in zip(x, got, strict=True):
        assert library.apply(row.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p)) == 0
    assert np.array_equal(got, host_quantize(tmp_path, x)[port.name])
    x[0, 0] = np.nan
    assert library.apply(x[0].ctypes.data_as(ctypes.c_void_p), got.ctypes.data_as(ctypes.c_void_p)) == 1


def test_statements_of_thresholds_are_step_functions_too():
    """As of a quantizer of somebody else, which names no format."""

    def counted(arrays, x):
        one = arrays.constant(1.0)
        reached = [arrays.subtract(one, arrays.less(x, arrays.constant(level))) for level in ([-1.0, 2.0], 0.0)]
        return arrays.shift(arrays.add(*reached), -1)

    first, second = step_functions(counted, (2,), "float32", "x")
    assert first == (0, 1, 1, (-1.0, 0.0), (0, 1, 2))
    assert second.thresholds == (0.0, 2.0)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (lambda arrays, x: arrays.quantize(x, 1, 20, 0, "RND", "SAT"), "no function of at most 4096 steps"),
        (lambda arrays, x: arrays.quantize(x, 1, 2, 3, "RND", "WRAP"), "no function of at most 4096 steps|no step"),
    ],
)
def test_what_is_no_step_function_is_refused(statement, message):
    with pytest.raises(Unsupported, match=message):
        step_functions(statement, (1,), "float32", "x")


def test_a_format_that_no_integer_holds_is_refused():
    inputs = HostInputs([keras.KerasTensor((None, 1), name="x")])
    with pytest.raises(Unsupported, match=r"needs 63 bits, and a port's number has at most 62"):
        inputs.enter(inputs.raw()[0][0, 0], Format(1, 31, 31, "RND", "WRAP"))


def first(document):
    return document["inputs"][0]["elements"][0]


def test_ports_are_read_as_they_are_written(ports, tmp_path):
    write_host(tmp_path, ports)
    assert Ports.read(tmp_path) == Ports.read(tmp_path / "ports.json") == ports


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(speed=1), r"ports\.json: speed: is no field\. Received: 1"),
        (lambda d: first(d).update(width=60), r"inputs\.0\.elements\.0: width must be k \+ i \+ f or 0"),
        (lambda d: first(d).update(place=9), r"inputs\.0\.elements\.0: place must be one of the 3"),
        (lambda d: first(d).update(steps=7), r"steps must be one of the port's 3 step functions"),
        (lambda d: first(d).update(steps=None), r"needs round_mode and overflow_mode, or steps"),
        (lambda d: first(d).update(k="1"), r"inputs\.0\.elements\.0\.k: must be an integer"),
        (lambda d: d["inputs"][0]["steps"][0]["values"].pop(), r"steps 0 must have one value more than thresholds"),
        (lambda d: d.pop("inputs"), r"inputs: is missing"),
    ],
)
def test_what_is_wrong_in_ports_json_is_named(change, message, tmp_path):
    write_host(tmp_path, minifloat_ports())
    document = json.loads((tmp_path / "ports.json").read_text())
    change(document)
    (tmp_path / "ports.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=message):
        host_quantize(tmp_path, np.zeros((1, 3)))


def test_data_of_another_form_are_refused(tmp_path):
    ports = minifloat_ports()
    with pytest.raises(ConfigError, match=r"no ports.json can be read"):
        host_quantize(tmp_path, np.zeros((1, 3)))
    with pytest.raises(DataError, match=r"takes samples of shape \[3\]\. Received: shape \[4\]"):
        host_quantize(ports, np.zeros((1, 4)))
    with pytest.raises(DataError, match=r"needs an array for each of energies/raw\. Received: x"):
        host_quantize(ports, {"x": np.zeros((1, 3))})
    with pytest.raises(DataError, match=r"NaN or infinite as float32"):
        host_quantize(ports, np.full((1, 3), 1e300))
    with pytest.raises(DataError, match=r"takes numbers"):
        host_quantize(ports, np.array([["a", "b", "c"]]))
