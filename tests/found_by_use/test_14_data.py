"""`calibrate`, `fit_ranges`, `doctor` and `verify` take what `fit` takes, on every backend."""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import pytest

import hgq2_core.data.batches as batches
from hgq2_core import ConfigError, DataError, calibrate, doctor, export, fit_ranges, verify
from hgq2_fixed_point import KBI, KIF
from hgq2_fixed_point.config import FitTo
from hgq2_layers import QAdd, QDense

X = np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32) * np.float32(3)
Y = np.zeros((40, 3), np.float32)
WRAP = KIF(overflow_mode="WRAP", granularity="tensor")
FOLLOWS = KBI(b=6, overflow_mode="WRAP", granularity="tensor")
"""Its step moves with its range, so that calibration takes several passes."""


class Pairs(keras.utils.PyDataset):
    """Inputs, targets and weights, in batches of 16."""

    def __init__(self, x=X, batches=3, extra=(Y,)):
        super().__init__()
        self.x, self.count, self.extra = x, batches, extra

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        at = slice(index % 3 * 16, index % 3 * 16 + 16)
        return (self.x[at], *(each[at] for each in self.extra))


def loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(data, batch_size=16)


def tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def backend_tensor():
    return keras.ops.convert_to_tensor(X)


def torch_tensor():
    torch = pytest.importorskip("torch")
    return torch.from_numpy(X).requires_grad_()


def jax_tensor():
    return pytest.importorskip("jax").numpy.asarray(X)


def tf_tensor():
    return pytest.importorskip("tensorflow").constant(X)


def generator():
    return (X[at : at + 16] for at in range(0, 40, 16))


FORMS = {
    "array": lambda: X,
    "list": lambda: [X],
    "dict": lambda: {"x": X},
    "PyDataset": Pairs,
    "weights": lambda: Pairs(extra=(Y, np.ones(40, np.float32))),
    "inputs_only": lambda: Pairs(extra=()),
    "DataLoader": loader,
    "tf.data": tf_data,
    "generator": generator,
    "pairs": lambda: iter([(X[:16], Y[:16]), (X[16:], Y[16:])]),
    "dicts": lambda: iter([{"x": X[:16]}, {"x": X[16:]}]),
    "tensor": backend_tensor,
    "torch": torch_tensor,
    "jax": jax_tensor,
    "tf": tf_tensor,
}
FORMS = {
    name: form
    for name, form in FORMS.items()
    if name not in ("tf.data", "tf") or importlib.util.find_spec("tensorflow")
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def model(quantizer=WRAP):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((4,), name="x"),
            QDense(5, activation="relu", name="hidden", input_quantizer=quantizer),
            QDense(3, name="logits", input_quantizer=quantizer),
        ],
        name="chain",
    )


def ranges(model):
    return [float(keras.ops.convert_to_numpy(layer.input_quantizer.i).squeeze()) for layer in model.layers]


@each_form
@pytest.mark.parametrize("quantizer", [WRAP, FOLLOWS], ids=["one_pass", "several_passes"])
def test_calibrate_takes_what_fit_takes(form, quantizer):
    wanted = model(quantizer)
    calibrate(wanted, X)
    given = model(quantizer)
    assert calibrate(given, form()).samples == 40
    assert ranges(given) == ranges(wanted)


@each_form
def test_verify_and_doctor_take_what_fit_takes(form):
    given = model()
    calibrate(given, X)
    report = verify(given, form())
    assert (report.samples, report.mismatches) == (40, 0)
    report = doctor(given, form())
    assert (report.samples, report.findings) == (40, ())


@each_form
def test_fit_ranges_takes_what_fit_takes(form):
    fitted = KIF(overflow_mode="SAT", fit_to=FitTo(), granularity="tensor")
    wanted, given = model(fitted), model(fitted)
    assert fit_ranges(wanted, X) == fit_ranges(given, form())
    assert ranges(given) == ranges(wanted)


def test_several_inputs_by_name():
    inputs = {"right": keras.Input((4,), name="right"), "left": keras.Input((4,), name="left")}
    given = keras.Model(inputs, QAdd(input_quantizer=WRAP)(list(inputs.values())))
    data = {"left": X, "right": X[::-1].copy()}
    assert calibrate(given, ((data, Y) for _ in range(2))).samples == 80
    assert verify(given, data).ok


def test_vectors_of_one_element_need_no_axis():
    given = keras.Sequential([keras.Input((1,)), QDense(2, input_quantizer=WRAP)])
    calibrate(given, X[:, :1])
    assert verify(given, X[:, 0]).ok


def test_steps_bound_an_iterator_without_end():
    def forever():
        while True:
            yield X[:8], Y[:8]

    given = model()
    assert calibrate(given, forever(), steps=3).samples == 24
    assert verify(given, forever(), steps=2).samples == 16
    assert doctor(given, forever(), steps=2).samples == 16
    assert calibrate(given, Pairs(batches=None), steps=2).samples == 32
    assert calibrate(given, X, batch_size=10, steps=2).samples == 20
    assert fit_ranges(model(KIF(overflow_mode="SAT", fit_to=FitTo())), forever(), samples=20)


def test_no_more_is_read_than_steps_say():
    source = iter([X[:8]] * 5)
    calibrate(model(), source, steps=2)
    assert len(list(source)) == 3


def test_data_without_end_are_refused():
    with pytest.raises(DataError) as error:
        calibrate(model(), Pairs(batches=None))
    assert str(error.value) == "calibrate: the data have no end. Received: Pairs. Say how many batches: steps=N."


def test_repeated_tf_data_are_refused():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(DataError, match="have no end"):
        calibrate(model(), tf.data.Dataset.from_tensor_slices(X).batch(8).repeat())


def test_an_iterator_too_large_to_keep_is_refused(monkeypatch):
    monkeypatch.setattr(batches, "KEPT_BYTES", 300)
    given = model(FOLLOWS)
    with pytest.raises(DataError) as error:
        calibrate(given, generator())
    assert str(error.value) == (
        "calibrate: the data are read more than once, and of an iterator no more than 2.79397e-07 GiB is kept for "
        "that. Bound it by steps=N, or pass what can be iterated again: arrays, a keras.utils.PyDataset, a torch "
        "DataLoader or a tf.data.Dataset."
    )
    assert calibrate(given, generator(), steps=1).samples == 16
    assert calibrate(model(WRAP), generator()).samples == 40  # one pass: nothing is kept


ALLOWED = (
    "Allowed: arrays or tensors, samples first; a list or dict of them, one for each input; or batches: a "
    "keras.utils.PyDataset, a torch DataLoader, a tf.data.Dataset, or an iterator."
)


@pytest.mark.parametrize(
    ("data", "received"),
    [
        (None, "NoneType"),
        ("samples.npz", "str"),
        (3, "int"),
        (np.float32(3), "float32"),
        ([[1.0, 2.0]], "list of list"),
        ({"x": None}, "dict"),
        ([], "list of nothing"),
        ({1, 2}, "set"),
        ([Pairs()], "list of Pairs"),
    ],
)
@pytest.mark.parametrize("use", [calibrate, doctor, verify], ids=["calibrate", "doctor", "verify"])
def test_anything_else_is_our_error(use, data, received):
    given = model(KIF(overflow_mode="SAT"))
    with pytest.raises(DataError) as error:
        use(given, data)
    assert str(error.value) == f"{use.__name__}: cannot read the data. Received: {received}. {ALLOWED}"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("text", f"calibrate: a batch must hold arrays. Received: str. {ALLOWED}"),
        ((X, Y, Y, Y), "calibrate: a batch is x, (x,), (x, y) or (x, y, weights). Received: 4 items."),
        (((X, X[:3]), Y), "calibrate: inputs need one number of samples, above 0. Received: [3, 40]."),
        (X[:0], "calibrate: inputs need one number of samples, above 0. Received: [0]."),
        (np.array([[None] * 4]), "calibrate: the data hold objects in place of numbers. Received: ndarray."),
        (X[:, :3], "chain: x: takes samples of shape [4]. Received: shape [3]."),
        ({"y": X}, "chain: no data for x. Received: y."),
    ],
)
def test_batches_that_cannot_be_read(batch, message):
    with pytest.raises(DataError) as error:
        calibrate(model(), iter([batch]))
    assert str(error.value) == message


def test_arrays_that_are_no_inputs():
    with pytest.raises(DataError) as error:
        calibrate(model(), (X, Y))
    assert str(error.value) == "chain: takes 1 inputs, x. Received: 2 arrays."


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "1"])
def test_steps_is_a_number_of_batches(steps):
    with pytest.raises(ConfigError) as error:
        calibrate(model(), X, steps=steps)
    assert str(error.value) == f"calibrate: steps is a number above 0. Received: steps={steps!r}."


def test_targets_go_with_arrays():
    given = model()
    given.compile("adam", "mse")
    with pytest.raises(ConfigError) as error:
        doctor(given, Pairs(), Y)
    assert str(error.value) == "doctor: y needs arrays as x. Received: y with x of class Pairs. Leave y out."
    calibrate(given, X)
    assert doctor(given, X, Y).samples == 40


@pytest.mark.parametrize("quantizer", [WRAP, FOLLOWS], ids=["one_pass", "several_passes"])
def test_calibration_goes_on_from_the_present_ranges(quantizer):
    together, apart, anew = model(quantizer), model(quantizer), model(quantizer)
    small = X / 64
    calibrate(together, np.concatenate([X, small]))
    calibrate(apart, X)
    calibrate(apart, small, reset=False)
    calibrate(anew, X)
    calibrate(anew, small)
    assert ranges(apart) == ranges(together)
    assert ranges(anew) != ranges(together)


def test_a_failure_leaves_the_ranges():
    given = model()
    calibrate(given, X)
    before = ranges(given)

    def broken():
        yield X * 100
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        calibrate(given, broken())
    with pytest.raises(DataError, match="NaN"):
        calibrate(given, iter([X * 100, X * np.nan]))
    assert ranges(given) == before
    assert verify(given, X).ok


def test_tables_of_pandas():
    pandas = pytest.importorskip("pandas")
    given = model()
    assert calibrate(given, pandas.DataFrame(X)).samples == 40


def test_exports_take_them_too(tmp_path):
    pytest.importorskip("hgq2_alkaid")
    given = model()
    calibrate(given, X)
    assert (
        export(given, "alkaid", tmp_path / "a", Pairs()).checked == export(given, "alkaid", tmp_path / "b", X).checked
    )
