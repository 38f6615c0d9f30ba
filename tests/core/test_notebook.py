"""What notebooks show of reports and quantizers: small tables, escaped, in the colours of the page."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hgq2_core import calibrate, doctor, summary, verify
from hgq2_core.commands.notebook import html_of
from hgq2_core.quantizers.config import Slot
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense

pytestmark = pytest.mark.once

X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((4,)), QDense(3, activation="relu", name="a<b"), QDense(2, name="out")])
    calibrate(model, X)
    return model


def cells(html):
    """The texts of each row of the tables, as they stand in the file."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_a_table_keeps_its_title_its_sides_and_its_texts():
    table = Table("name", title="[1] & more")
    table.add_column(Text("x > y"), justify="right")
    table.add_row("[red]<b>", Text("2"))
    assert html_of(table) == (
        '<table><caption style="text-align: left">[1] &amp; more</caption>'
        '<thead><tr><th style="text-align: left">name</th><th style="text-align: right">x &gt; y</th></tr></thead>'
        '<tbody><tr><td style="text-align: left">[red]&lt;b&gt;</td><td style="text-align: right">2</td></tr></tbody>'
        "</table>"
    )


def test_texts_and_tables_of_a_group_follow_each_other():
    html = html_of(Group("1 < 2", Table("a"), Text("end")))
    assert html.startswith("<p>1 &lt; 2</p><table>")
    assert html.endswith("</table><p>end</p>")


def test_a_summary_shows_what_it_prints(model):
    found = summary(model)
    html = found._repr_html_()
    assert f"{found.ebops:,.0f} EBOPs</caption>" in html
    rows = cells(html)
    assert rows[0] == ["layer", "kind", "output", "slot", "bits", "min", "max", "zeroed", "EBOPs"]
    assert rows[1][:2] == ["a&lt;b", "layers.dense"]
    assert "a<b" in str(found)
    assert len(rows) == 1 + sum(len(row.slots) for row in found.layers)


def test_a_verification_shows_its_sentence_and_each_layer(model):
    report = verify(model, X)
    html = report._repr_html_()
    assert html.startswith("<p>arithmetic verified: 0 mismatches in 8 samples (integers == Keras)</p>")
    rows = cells(html)
    assert [row[0] for row in rows] == ["layer", "a&lt;b", "out"]
    assert rows[2][1:3] == ["0", "16"]
    assert rows[2][4] == "exact"


def test_a_diagnosis_shows_its_findings_and_shares(model):
    report = doctor(model, X)
    html = report._repr_html_()
    assert html.startswith(f"<p>{report.headline}</p>")
    assert '<td style="text-align: left">a&lt;b</td>' in html


def test_a_config_shows_its_fields_and_which_were_given():
    html = KBI(b=5, overflow_mode="WRAP")._repr_html_()
    assert "fixed_point.kbi</caption>" in html
    rows = {row[0]: row[1:] for row in cells(html)}
    assert rows["b"] == ["5.0", ""]
    assert rows["i"] == ["2.0", "not given"]
    assert rows["overflow_mode"] == ["&#x27;WRAP&#x27;", ""]


def test_a_quantizer_shows_its_format_over_its_elements(model):
    html = model.layers[-1].slot_quantizer("kernel")._repr_html_()
    assert "fixed_point.kbi, out.kernel</caption>" in html
    rows = {row[0]: row[1:] for row in cells(html)}
    assert list(rows) == ["", "k", "i", "f", "bits"]
    assert rows["k"] == ["1", "1", "1"]
    assert rows["bits"] == ["8", "8", "8"]


@pytest.mark.parametrize(
    ("config", "built"), [(KIF(), False), (KBI(overflow_mode="WRAP"), True)], ids=["not built", "a dynamic range"]
)
def test_a_quantizer_without_a_present_format_shows_its_config(config, built):
    quantizer = config.build(Slot("weight", "kernel", "dense"))
    if built:
        quantizer.build((3, 2))
    html = quantizer._repr_html_()
    assert ", dense.kernel</caption>" in html
    assert cells(html)[0] == ["field", "value", ""]


def test_nothing_sets_a_colour(model):
    for shown in (summary(model), verify(model, X), KBI(), model.layers[-1].slot_quantizer("kernel")):
        assert "color" not in shown._repr_html_()
