"""What `hgq2 show` says of the values of a format, and the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgq2_core import QuantizerConfig
from hgq2_fixed_point import KBI, KIF, Binary, PowerOfTwo, Ternary, quantize

pytestmark = pytest.mark.once


def test_the_defaults_of_kbi() -> None:
    assert KBI().facts() == {
        "format (k, i, f)": [1, 2, 6],
        "min": -3.984375,
        "max": 3.984375,
        "step": 0.015625,
        "values": 511,
    }


@given(
    k=st.integers(0, 1),
    i=st.integers(-4, 4),
    f=st.integers(-4, 5),
    overflow_mode=st.sampled_from(["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"]),
)
def test_facts_are_those_of_the_values_that_occur(k: int, i: int, f: int, overflow_mode: str) -> None:
    x = np.arange(-(2**11), 2**11) / 2**6
    values = np.unique(quantize(x, k, i, f, "RND", overflow_mode))
    config = KIF(k=k, i=i, f=f, overflow_mode=overflow_mode)
    facts = config.facts()
    assert (facts["min"], facts["max"], facts["values"]) == (values.min(), values.max(), values.size)
    assert np.all(np.diff(values) == facts["step"])
    assert config.values() == values.tolist()


@pytest.mark.parametrize("config", [KBI(b=-3.0, b_bounds=(-9, 9)), KIF(k=0, i=-2, f=2)])
def test_a_pruned_format_holds_0_alone(config: KBI | KIF) -> None:
    facts = config.facts()
    assert (facts["min"], facts["max"], facts["values"]) == (0.0, 0.0, 1)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (Binary(scale=0.5), [-0.5, 0.5]),
        (Ternary(scale=2.0), [-2.0, 0.0, 2.0]),
        (PowerOfTwo(lowest=-1, highest=1), [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]),
        (PowerOfTwo(k=0, lowest=0, highest=1), [0.0, 1.0, 2.0]),
        (KBI(b=17), []),
    ],
    ids=repr,
)
def test_formats_list_their_values_unless_they_are_too_many(config: QuantizerConfig, values: list[float]) -> None:
    assert config.values() == values
