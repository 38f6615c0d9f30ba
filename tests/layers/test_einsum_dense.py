"""QEinsumDense: equations, shapes, forward, cost; docs/numerics.md#7."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import values
from survival import require_survival

from hgq2_core import ConfigError, ebops
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QEinsumDense
from hgq2_layers.core.equation import Equation

TABLE = [
    # equation, output_shape, bias_axes, input shape without batch
    ("ab,bc->ac", 5, "c", (4,)),
    ("ab,bc->ac", 5, None, (4,)),
    ("ab,bc->ac", [5], "c", (4,)),
    ("abc,cd->abd", (3, 5), "d", (3, 4)),
    ("abc,cd->abd", (None, 5), "d", (3, 4)),
    ("abc,cd->abd", (3, 5), "bd", (3, 4)),
    ("abc,cd->abd", (3, 5), "b", (3, 4)),
    ("abc,bd->adc", (5, None), "d", (3, 4)),
    ("abc,bd->adc", (5, 4), "cd", (3, 4)),
    ("abc,cde->abde", (None, 2, 5), "de", (3, 4)),
    ("abc,cde->abde", (None, 2, 5), "e", (3, 4)),
    ("abc,cde->abde", (None, 2, 5), "d", (3, 4)),
    ("abcd,cde->abe", (2, 5), "e", (2, 3, 4)),
    ("abc,bcd->ad", 5, "d", (3, 4)),
    ("abc,bcd->abd", (3, 5), "bd", (3, 4)),
    ("...x,xy->...y", 5, "y", (4,)),
    ("...x,xy->...y", 5, "y", (3, 4)),
    ("...x,xy->...y", 5, None, (2, 3, 4)),
    ("ab...,bc->ac...", 5, "c", (4,)),
    ("ab...,bc->ac...", 5, "c", (4, 3)),
    ("ab...,bc->ac...", 5, None, (4, 3, 2)),
    (" abc , cd -> abd ", (3, 5), "d", (3, 4)),
]


def letters(equation, rank):
    """The three parts, capital letters in place of the ellipsis."""
    inputs, _, rest = equation.replace(" ", "").partition(",")
    kernel, _, outputs = rest.partition("->")
    dots = "QRST"[: rank - len(inputs.replace("...", ""))]
    return inputs.replace("...", dots), kernel, outputs.replace("...", dots)


@pytest.mark.parametrize(("equation", "output_shape", "bias_axes", "shape"), TABLE)
def test_shapes_are_those_of_keras(equation, output_shape, bias_axes, shape):
    ours = QEinsumDense(equation, output_shape, bias_axes=bias_axes)
    theirs = keras.layers.EinsumDense(equation.replace(" ", ""), output_shape, bias_axes=bias_axes)
    outputs = tuple(theirs(values(2, *shape)).shape)
    assert tuple(ours(values(2, *shape)).shape) == outputs
    # Keras' own compute_output_shape reverses several left axes, and leaves open what output_shape leaves open.
    assert ours.compute_output_shape((None, *shape)) == (None, *outputs[1:])
    assert tuple(ours.kernel.shape) == tuple(theirs.kernel.shape)
    if theirs.bias is None:
        assert ours.bias is None
    else:
        assert tuple(ours.bias.shape) == tuple(theirs.bias.shape)


@pytest.mark.parametrize("overflow_mode", ["SAT", "WRAP"])
@pytest.mark.parametrize(("equation", "output_shape", "bias_axes", "shape"), TABLE)
def test_forward(independent, scatter, equation, output_shape, bias_axes, shape, overflow_mode):
    config = KIF(overflow_mode=overflow_mode, granularity="element")
    layer = QEinsumDense(equation, output_shape, "relu", bias_axes, input_quantizer=config)
    layer.build((None, *shape))
    scatter(layer, seed=3)
    x = values(32, *shape)
    spelled = "{},{}->{}".format(*letters(equation, x.ndim))
    wanted = np.einsum(
        spelled,
        independent.quantized(layer.input_quantizer, x),
        independent.quantized(layer.kernel_quantizer, independent.numpy_of(layer.kernel)),
    )
    if bias_axes:
        wanted = wanted + independent.quantized(layer.bias_quantizer, independent.numpy_of(layer.bias))
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(independent.numpy_of(layer(x)), np.maximum(wanted, 0))


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize(("equation", "output_shape", "bias_axes", "shape"), TABLE)
def test_ebops(independent, scatter, equation, output_shape, bias_axes, shape, granularity):
    layer = QEinsumDense(
        equation,
        output_shape,
        bias_axes=bias_axes,
        input_quantizer=KIF(overflow_mode="SAT", granularity=granularity),
        kernel_quantizer=KBI(granularity=granularity),
        bias_quantizer=KBI(granularity=granularity, overflow_mode="SAT"),
    )
    layer.build((None, *shape))
    scatter(layer, seed=3)
    inputs, kernel, outputs = letters(equation, len(shape) + 1)
    x_bits = independent.counted(layer.input_quantizer, shape)
    k_bits = independent.counted(layer.kernel_quantizer, tuple(layer.kernel.shape))
    products = np.einsum(f"{inputs[1:]},{kernel}->{outputs[1:]}", x_bits, k_bits)
    wanted = products.sum()
    if bias_axes:
        b_bits = independent.counted(layer.bias_quantizer, tuple(layer.bias.shape))
        # Every output position adds its bias.
        wanted += np.broadcast_to(b_bits, products.shape).sum()
    assert wanted > 0
    assert ebops(layer) == wanted


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "kernel"),
    [
        ("ab,bc->ac", 5, (4,), (1, 5)),
        ("abc,cde->abde", (None, 2, 5), (3, 4), (1, 2, 5)),
        ("abc,bcd->abd", (3, 5), (3, 4), (1, 1, 5)),
        ("abc,dc->abd", (3, 5), (3, 4), (5, 1)),
    ],
)
def test_channels_are_the_axes_that_only_the_output_has(equation, output_shape, shape, kernel):
    layer = QEinsumDense(equation, output_shape, kernel_quantizer=KBI(granularity="channel"))
    layer.build((None, *shape))
    assert tuple(layer.kernel_quantizer.b.shape) == kernel


def test_it_is_dense_for_the_dense_equation():
    from hgq2_layers import QDense

    dense, einsum = QDense(5), QEinsumDense("...a,ab->...b", 5, bias_axes="b")
    x = values(16, 3, 4)
    dense(x), einsum(x)
    einsum.kernel.assign(dense.kernel)
    assert np.array_equal(keras.ops.convert_to_numpy(dense(x)), keras.ops.convert_to_numpy(einsum(x)))
    assert ebops(dense) == ebops(einsum)


# Equations.


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("abc,cd->abd", ("abc", "cd", "abd", None)),
        (" ab , bc -> ac ", ("ab", "bc", "ac", None)),
        ("...b,bc->...c", ("b", "bc", "c", "left")),
        ("ab...,bc->ac...", ("ab", "bc", "ac", "right")),
        ("aB,Bc->ac", ("aB", "Bc", "ac", None)),
    ],
)
def test_parsing(text, parsed):
    equation = Equation.parse(text)
    assert (equation.inputs, equation.kernel, equation.outputs, equation.ellipsis) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab,bc",
        "ab->ac",
        "ab,bc,cd->ad",
        "ab,bc->",
        "...b,bc->c",
        "b,bc->...c",
        "ab...,bc->...ac",
        "...b...,bc->...c...",
        "..b,bc->..c",
        "a1,1c->ac",
        "...ab,...bc->...ac",
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(ConfigError, match="must look like") as caught:
        QEinsumDense(text, 5)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aab,bc->ac", "'aab' repeats a letter"),
        ("ab,bbc->ac", "'bbc' repeats a letter"),
        ("ab,bc->acc", "'acc' repeats a letter"),
        ("ab,bc->ad", r"\['d'\] are in neither input nor kernel"),
        ("ab,bcd->ac", r"\['d'\] are in neither input nor output"),
    ],
)
def test_letters_must_make_sense(text, message):
    with pytest.raises(ConfigError, match=message):
        QEinsumDense(text, 5)


def test_stray_bias_axes_are_named():
    with pytest.raises(ConfigError, match=r"bias_axes \['x'\]"):
        QEinsumDense("ab,bc->ac", 5, bias_axes="cx")


def test_a_bias_on_the_batch_is_refused():
    with pytest.raises(ConfigError, match=r"bias"):
        QEinsumDense("ab,bc->ac", 5, bias_axes="ac").build((None, 4))


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "message"),
    [
        ("abc,cd->abd", (3, 5), (None, 4), "rank 3"),
        ("ab,bc->ac", 5, (None, 3, 4), "rank 2"),
        ("abc,cd->abd", (7, 5), (None, 3, 4), "'b'.*size 3.*7"),
        ("abc,cd->abd", 5, (None, 3, 4), "output_shape"),
        ("abc,cd->abd", (2, 3, 5), (None, 3, 4), "output_shape"),
        ("abc,cd->abd", (3, None), (None, 3, 4), "kernel axis 'd'"),
        ("abc,cd->abd", (None, 5), (None, 3, None), "kernel axis 'c'"),
    ],
)
def test_shapes_that_do_not_fit_are_named(equation, output_shape, shape, message):
    with pytest.raises(ConfigError, match=message) as caught:
        QEinsumDense(equation, output_shape, name="somewhere").build(shape)
    assert "somewhere" in str(caught.value)
    assert equation in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 1), (3, 5), (1, 4)])
def test_inputs_of_another_size_are_refused(shape):
    layer = QEinsumDense("abc,cd->abd", (3, 5), bias_axes="d")
    layer.build((None, 3, 4))
    with pytest.raises(ValueError, match="incompatible"):
        layer(values(2, *shape))


def test_a_bias_along_an_unknown_size_is_refused():
    layer = QEinsumDense("abc,cd->abd", (None, 5), bias_axes="b", input_quantizer=KIF(granularity="channel"))
    with pytest.raises(ConfigError, match="bias axis 'b'"):
        layer.build((None, None, 4))


def test_unknown_sizes_work_where_bits_are_shared():
    layer = QEinsumDense("abc,cd->abd", (None, 5), bias_axes="d", input_quantizer=KIF(granularity="channel"))
    model = keras.Sequential([keras.Input((None, 4)), layer])
    assert model.output_shape == (None, None, 5)
    assert tuple(model(values(2, 7, 4)).shape) == (2, 7, 5)


# Arguments.

ARGUMENTS = {
    "output_shape": (3, 6),
    "activation": "relu",
    "bias_axes": "d",
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "kernel_quantizer": KBI(b=3, granularity="channel"),
    "bias_quantizer": KIF(f=2, overflow_mode="SAT"),
    "input_quantizer": KBI(b=5, overflow_mode="SAT_ZERO"),
    "output_quantizer": KIF(f=1, overflow_mode="SAT"),
    "accumulator_bits": 12,
    "parallelization_factor": 2,
    "ebops_factor": 0.5,
    "ebops_beta": 0.25,
    "enable_ebops": False,
    "dtype": "float64",
    "trainable": False,
    "activity_regularizer": "l2",
    "name": "other",
    "equation": "abc,cd->adb",
}


def test_every_argument_is_tested():
    from hgq2_core.schema.signature import parameters

    assert set(ARGUMENTS) == set(parameters(QEinsumDense))


@pytest.mark.parametrize("argument", sorted(ARGUMENTS))
def test_every_argument_survives(argument):
    fields = {"equation": "abc,cd->abd", "output_shape": (3, 5), "name": "default"}
    if argument == "accumulator_bits":
        fields["kernel_quantizer"] = KIF(round_mode="TRN_ZERO", overflow_mode="SAT_SYM")
    if argument == "bias_quantizer":
        fields["bias_axes"] = "d"
    layer = QEinsumDense(**{**fields, argument: ARGUMENTS[argument]})
    require_survival(layer, QEinsumDense(**fields), argument)


def test_a_saved_model_survives(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            QEinsumDense("abc,cde->abde", (None, 2, 5), "relu", "de"),
            QEinsumDense("abde,def->af", 2),
        ]
    )
    x = values(16, 3, 4)
    model(x)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert ebops(again) == ebops(model) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"equation": 5}, "equation"),
        ({"output_shape": 0}, "output_shape"),
        ({"output_shape": "5"}, "output_shape"),
        ({"output_shape": (2, -1)}, "output_shape"),
        ({"bias_axes": 1}, "bias_axes"),
        ({"activation": "softmax"}, "activation.*relu"),
        ({"equatoin": "a"}, "Did you mean 'equation'"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        QEinsumDense(**{"equation": "ab,bc->ac", "output_shape": 5, **arguments})


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape"),
    [
        ("abc,cde->abde", (5, 2, 8), (None, 5, 16)),
        ("abcd,cde->abe", (5, 16), (None, 5, 2, 8)),
        ("ab,bc->ac", 4, (None, 6)),
    ],
)
@pytest.mark.parametrize("initializer", ["GlorotUniform", "HeNormal"])
def test_initial_kernels_are_those_of_keras(equation, output_shape, shape, initializer):
    """The fans are those of the equation, which a kernel of three axes does not tell."""
    ours, keras_own = (
        kind(equation, output_shape, kernel_initializer=getattr(keras.initializers, initializer)(seed=1))
        for kind in (QEinsumDense, keras.layers.EinsumDense)
    )
    for layer in (ours, keras_own):
        layer.build(shape)
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(layer.kernel) for layer in (ours, keras_own)))
