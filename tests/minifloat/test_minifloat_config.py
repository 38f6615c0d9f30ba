"""What a config may say, what it is refused for, and what `hgq2 show` tells of it."""

import re

import pytest

from hgq2_core import ConfigError
from hgq2_core.config.describe import describe
from hgq2_core.discovery.registry import registry
from hgq2_minifloat import BFloat16, Float8E4M3FN, Minifloat
from hgq2_minifloat.formats import STANDARDS
from hgq2_minifloat.presets import StandardFormat

pytestmark = pytest.mark.once

REFUSED = [
    (
        {"m": 11},
        "Minifloat: m must lie within m_bounds=[-1.0, 10.0]. Received: m=11.0.",
    ),
    (
        {"e": 3, "e_bounds": [0, 9]},
        "Minifloat: e_bounds must be a lower and an upper bound within 0 and 8. Received: e_bounds=[0.0, 9.0].",
    ),
    (
        {"e_bounds": [0, 8]},
        "Minifloat: the exponents must lie within -126 and 127, those of float32; with the bounds given they reach "
        "from -143 to 143. Narrow e_bounds or e0_bounds. Received: e_bounds=[0.0, 8.0], e0_bounds=[-16.0, 16.0].",
    ),
    (
        {"max_value": 100.0},
        "Minifloat: max_value ends a format that does not move. Say trainable=False, and no fit_to. "
        "Received: max_value=100.0, trainable=True.",
    ),
    (
        {"max_value": 100.0, "trainable": False},
        "Minifloat: max_value must be a value of the format (m, e, e0)=[3, 4, 0]. Received: max_value=100.0.",
    ),
    (
        {"block": {"size": 16}, "trainable": ["m", "e0"]},
        "Minifloat: block sets the exponents from the values. Say trainable=False or trainable=['m'], and no fit_to. "
        "Received: trainable=('m', 'e0').",
    ),
    (
        {"trainable": ["m", "f"]},
        "Minifloat: trainable.1: not allowed. Received: 'f' (str). Allowed: 'm', 'e', 'e0'.",
    ),
    (
        {"block": {"size": 0}},
        "Minifloat: block.size: must be greater than 0. Received: 0 (int).",
    ),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_does_not_go_together_is_refused(fields, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        Minifloat(**fields)


def test_a_standard_has_no_bits_to_set():
    with pytest.raises(ConfigError, match=r"^Float8E4M3FN: unknown field 'm'\. Allowed: block, noise, "):
        Float8E4M3FN(m=2)


@pytest.mark.parametrize(
    ("trainable", "moved"), [(True, ("m", "e", "e0")), (False, ()), (["e0"], ("e0",)), (["m", "e"], ("m", "e"))]
)
def test_any_of_the_bits_are_trained(trainable, moved):
    config = Minifloat(trainable=trainable)
    assert config.trained == moved
    quantizer = config.build()
    quantizer.build((2, 3))
    assert tuple(variable.name for variable in quantizer.trainable_variables) == moved
    assert {variable.name for variable in quantizer.variables} == {"m", "e", "e0"}


def test_bounds_are_checked_only_as_far_as_bits_move():
    assert Minifloat(e=7, e_bounds=(0, 8), trainable=["m"]).format.emax == 63
    assert BFloat16().format == STANDARDS["bfloat16"]


@pytest.mark.parametrize("name", STANDARDS)
def test_every_standard_is_a_kind(name):
    cls = registry().load("quantizers", f"minifloat.{name}")
    assert issubclass(cls, StandardFormat)
    form = STANDARDS[name]
    assert cls().format == form
    facts = describe(name).facts
    assert facts["format (m, e, e0)"] == list(form[:3])
    assert (facts["min"], facts["max"], facts["smallest step"]) == (-form.largest, form.largest, form.step)
    assert (facts["bits"], facts["codes"]) == (form.bits, 2**form.bits)
    values = cls().values()
    assert values == sorted(set(values)) and facts["values"] == len(values)
    assert values == [-value for value in values[::-1]]
    assert (values[0], values[-1]) == (facts["min"], facts["max"])


def test_the_facts_of_fp4():
    assert describe("minifloat.float4_e2m1fn").facts == {
        "format (m, e, e0)": [1, 2, 1],
        "min": -6.0,
        "max": 6.0,
        "smallest step": 0.5,
        "smallest normal": 1.0,
        "bits": 4,
        "codes": 16,
        "values": 15,
    }
