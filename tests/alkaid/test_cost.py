"""LUTs of circuits: counted logic, predictions before and of a circuit, and Yosys."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

import hgq2_core
from hgq2_alkaid.cost import matrices
from hgq2_alkaid.cost.coefficients import Spread, coefficients
from hgq2_alkaid.cost.layers import logic_of
from hgq2_alkaid.cost.operations import Operations, width
from hgq2_alkaid.cost.prediction import remark
from hgq2_alkaid.cost.tables import table_logic
from hgq2_alkaid.solver import digits
from hgq2_core import calibrate, ebops, export
from hgq2_core.errors import ConfigError, ToolError
from hgq2_core.exporting.export import estimate
from hgq2_core.exporting.luts import LutCost, estimate_luts
from hgq2_core.testing import registered
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QAdd, QDense


def small_model(units=(4, 2), bits=4):
    keras.utils.set_random_seed(0)
    with hgq2_core.defaults(weight=KBI(b=bits, i=0), activation=KIF(i=2, f=3)):
        hidden = [QDense(each, activation="relu", name=f"hidden_{each}") for each in units[:-1]]
        model = keras.Sequential([keras.Input((5,)), *hidden, QDense(units[-1], name="logits")])
    calibrate(model, np.random.default_rng(0).normal(size=(200, 5)).astype("float32"))
    return model


@pytest.fixture(scope="module")
def model():
    return small_model()


class TestCountedLogic:
    """What is counted, worked out by hand."""

    def test_width_is_that_of_the_smallest_format_and_0_of_constants(self):
        operations = Operations()
        assert width(operations.between([0, -4, 3, -1], [7, 3.5, 3, 0], [0, 1, 0, 0])).tolist() == [3, 4, 0, 1]

    def test_signed_digits(self):
        # 7 = 8 - 1, 0.625 = 1/2 + 1/8, 23 = 16 + 8 - 1, 11 = 8 + 4 - 1
        assert digits(np.array([0.0, 1.0, -7.0, 0.625, 23.0, 11.0])).tolist() == [0, 1, 2, 2, 3, 3]

    def test_an_addition_counts_the_bits_of_its_sum(self):
        operations = Operations()
        x = operations.input(k=0, i=3, f=0, shape=(1, 2))
        operations.add(x, x)
        assert operations.counts["add"] == 8  # 0 to 14, twice
        operations.add(x, operations.constant(np.float64(0)))
        assert operations.counts["add"] == 8

    def test_a_constant_that_is_added_counts_apart(self):
        operations = Operations()
        operations.add(operations.input(k=0, i=3, f=0, shape=(1, 1)), operations.constant(np.float64(1)))
        assert (operations.counts["add"], operations.counts["constant"]) == (0, 4)

    def test_products_count_bit_operations(self):
        operations = Operations()
        operations.multiply(operations.input(0, 3, 0, (1, 1)), operations.input(0, 4, 0, (1, 1)))
        assert operations.counts["product"] == 12

    def test_wrapping_is_free_and_saturation_is_not(self):
        operations = Operations()
        x = operations.input(k=1, i=4, f=0, shape=(1, 1))
        operations.quantize(x, 1, 2, 0, "TRN", "WRAP")
        assert sum(operations.counts.values()) == 0
        operations.quantize(x, 1, 2, 0, "TRN", "SAT")
        assert operations.counts["saturate"] > 0

    def test_rounding_adds_a_constant_where_bits_are_cut(self):
        operations = Operations()
        x = operations.input(k=1, i=2, f=3, shape=(1, 1))
        operations.quantize(x, 1, 2, 3, "RND", "WRAP")
        assert operations.counts["constant"] == 0
        operations.quantize(x, 1, 2, 1, "RND", "WRAP")
        assert operations.counts["constant"] == 4

    @staticmethod
    def of_matrix(columns, bits=3):
        operations = Operations()
        x = operations.input(k=0, i=bits, f=0, shape=(1, len(columns[0])))
        operations.einsum("bi,io->bo", x, operations.constant(np.array(columns, dtype=float).T))
        return operations.counts

    def test_a_matrix_counts_the_bits_where_numbers_meet(self):
        assert (
            self.of_matrix([[1, 2]])["add"] == 3
        )  # 2 y has bits where x has two, and one more; the lowest bit is that of x
        assert self.of_matrix([[1, 8]])["add"] == 0  # side by side
        assert self.of_matrix([[1, 8, 64]]) == {"add": 0, "add_third": 0, "negate": 0}

    def test_the_third_number_of_a_sum_counts_apart(self):
        counts = self.of_matrix([[1, 1, 1]])
        assert (counts["add"], counts["add_third"]) == (5, 5)  # 0 to 21

    def test_sums_that_columns_share_count_once(self):
        assert self.of_matrix([[1, 2], [1, 2], [4, 8]]) == self.of_matrix([[1, 2]])

    def test_six_inputs_of_one_bit_are_a_table(self):
        counts = self.of_matrix([[1, 1, 1, 1, 1, 1]], bits=1)
        assert (counts["table"], counts["add"]) == (3, 0)  # 0 to 6
        assert self.of_matrix([[1, 1, 1, 1, 1]], bits=1)["table"] == 0

    def test_of_many_different_rows_some_are_solved(self, monkeypatch):
        low = np.arange(5.0)[:, np.newaxis] * np.ones((5, 2))
        kernel = np.array([[1.0, 3], [2, 5]])
        whole = matrices.count_matrix(low, low + 7, np.ones_like(low), kernel)
        assert matrices.count_matrix(low[:1], low[:1] + 7, np.ones((1, 2)), kernel) != whole
        monkeypatch.setattr(matrices, "ROWS", 1)
        some = matrices.count_matrix(low, low + 7, np.ones_like(low), kernel)
        first = matrices.count_matrix(low[:1], low[:1] + 7, np.ones((1, 2)), kernel)
        assert some == pytest.approx({name: 5 * count for name, count in first.items()})

    def test_equal_parts_of_tables_count_once(self):
        assert table_logic(np.array([0.0, 1, 2, 3])) == {"table": 2.0, "table_choice": 0.0}
        assert table_logic(np.tile(np.arange(64.0), 2)) == {"table": 6.0, "table_choice": 0.0}
        assert table_logic(np.repeat([0.0, 1.0], 64)) == {"table": 0.0, "table_choice": 1.0}

    def test_the_first_quantizer_is_the_hosts_work(self):
        saturates = KIF(i=2, f=3, overflow_mode="SAT")
        layers = [QDense(2, input_quantizer=saturates), QDense(2, input_quantizer=saturates)]
        model = keras.Sequential([keras.Input((5,)), *layers])
        calibrate(model, np.random.default_rng(0).normal(size=(200, 5)) * 4)
        first, second = (each.counts for each in logic_of(model))
        assert "saturate" not in first and second["saturate"] > 0


class TestPrediction:
    """Before a circuit is made."""

    def test_it_is_the_sum_of_the_layers_and_has_a_spread(self, model):
        found = estimate_luts(model)
        assert found.luts == sum(layer.luts for layer in found.layers)
        assert 0 < found.low <= found.luts <= found.high
        assert [layer.name for layer in found.layers] == ["hidden_4", "logits"]
        assert sum(layer.ebops for layer in found.layers) == ebops(model)

    def test_more_bits_and_more_units_cost_more(self):
        few, more_bits, more_units = (
            estimate_luts(small_model(*each)).luts for each in (((4, 2), 3), ((4, 2), 6), ((8, 2), 3))
        )
        assert few < more_bits
        assert few < more_units

    def test_the_frozen_form_costs_the_same(self, model):
        assert estimate_luts(hgq2_core.freeze(model)).luts == estimate_luts(model).luts

    def test_a_layer_without_exact_arithmetic_has_a_ratio_of_its_ebops_and_is_named(self, model):
        class Silent(QDense):
            def exact(self, arrays, *inputs):
                raise NotImplementedError("unknown")

        with registered(layers={"mine.silent": Silent}):
            inputs = keras.Input((5,))
            layer = Silent(3, name="silent")
            found = estimate_luts(keras.Model(inputs, QDense(2)(layer(inputs))))
        row = found.layers[0]
        assert (row.name, row.fitted) == ("silent", False)
        assert row.luts == row.ebops * coefficients().luts_per_ebop > 0
        assert "No exact arithmetic" in found.remark and "silent" in found.remark

    def test_an_exporter_that_predicts_nothing_is_refused(self, model):
        with pytest.raises(ConfigError, match="the exporter predicts none"):
            estimate_luts(model, "cpp.cpp")

    def test_a_prediction_outside_of_its_spread_is_refused(self, model):
        found = estimate_luts(model)
        for wrong in ({"low": found.luts + 1}, {"high": found.luts - 1}, {"luts": float("nan")}):
            with pytest.raises(ConfigError, match="a prediction lies within its spread"):
                replace(found, **wrong)

    def test_a_spread_that_is_too_wide_is_said(self):
        good = {"models": 12, "median": 0.05, "ninety": 0.2, "rank": 0.95, "low": 0.9, "high": 1.1}
        assert "wider" not in remark(Spread(**good))
        for worse in ({"median": 0.11}, {"ninety": 0.3}, {"rank": 0.8}):
            assert "wider than the aim" in remark(Spread(**{**good, **worse}))


class TestQuantity:
    """As the quantity of a budget or a loss."""

    def test_the_tensor_has_the_value_and_its_gradient_reaches_the_bits(self, model):
        found = keras.ops.convert_to_numpy(LutCost().differentiable(model))
        assert found == pytest.approx(LutCost().of(model), rel=1e-6)
        if keras.backend.backend() == "torch":
            LutCost().differentiable(model).backward()
            (bits,) = (each for each in model.trainable_variables if each.path.endswith("logits/kernel_quantizer/b"))
            assert (bits.value.grad >= 0).all() and bits.value.grad.any()
            model.zero_grad()

    def test_prices_of_layers_are_luts_for_an_ebop(self, model):
        prices, rows = LutCost().per_ebop(model), estimate_luts(model).layers
        assert prices == {row.name: row.luts / row.ebops for row in rows}


class TestReport:
    """What an export says."""

    def test_layers_share_cost_and_luts(self, model):
        report = estimate(model, "alkaid")
        assert sum(row.cost for row in report.layers) == pytest.approx(report.cost)
        assert sum(row.luts for row in report.layers) == pytest.approx(report.luts.luts)
        assert 0 < report.luts.low <= report.luts.luts <= report.luts.high
        assert all(row.luts > 0 and row.latency > 0 and row.stages == 0 for row in report.layers)
        assert sum(row.latency for row in report.layers) == pytest.approx(report.latency, rel=0.05)
        assert report.cycles == 0 and report.clock_period is None

    def test_a_pipeline_says_its_cycles_and_nanoseconds(self, model):
        report = estimate(model, "alkaid", latency_cutoff=2.0, clock_period=4.0)
        assert report.cycles > 0
        assert f"{report.cycles} clock cycles, {4 * report.cycles} ns at a clock period of 4 ns" in str(report)
        assert 0 < sum(row.stages for row in report.layers) <= report.stages

    def test_a_residual_layer_owns_what_is_not_owned_before(self):
        keras.utils.set_random_seed(1)
        x = keras.Input((3,))
        with hgq2_core.defaults(weight=KBI(b=4, i=0), activation=KIF(i=2, f=2)):
            dense = QDense(3, name="dense")(x)
            model = keras.Model(x, QAdd(name="add")([x, dense]))
        calibrate(model, np.random.default_rng(0).normal(size=(99, 3)).astype("float32"))
        named = {row.name: row for row in estimate(model, "alkaid").layers}
        assert named["dense"].luts > named["add"].luts > 0

    def test_the_export_writes_it(self, model, tmp_path):
        report = export(model, "alkaid", tmp_path / "rtl")
        written = json.loads((tmp_path / "rtl" / "report.json").read_text())
        assert written["luts"]["luts"] == report.luts.luts
        assert [row["luts"] for row in written["layers"]] == [row.luts for row in report.layers]


needs_yosys = pytest.mark.skipif(
    importlib.util.find_spec("pyosys") is None, reason="Yosys is not installed: pip install 'hgq2-alkaid[yosys]'"
)


class TestYosys:
    """The synthesis that the models are fitted to."""

    def test_without_yosys_the_error_says_what_to_install(self, monkeypatch):
        from hgq2_alkaid.cost import synthesis

        monkeypatch.setattr(synthesis.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ToolError, match=r"pip install 'hgq2-alkaid\[yosys\]'"):
            synthesis.synthesize(["rtl"])

    @needs_yosys
    def test_a_directory_without_a_circuit_is_refused(self, tmp_path):
        from hgq2_alkaid.cost.synthesis import synthesize

        with pytest.raises(ConfigError, match="holds no Verilog"):
            synthesize([tmp_path])

    @needs_yosys
    @pytest.mark.parametrize(("interface", "module"), [("handshake", "handshake"), ("axi_stream", "axi_stream")])
    def test_an_export_with_a_handshake_is_refused(self, tmp_path, interface, module):
        from hgq2_alkaid.cost.synthesis import synthesize

        export(small_model((1, 1), 3), "alkaid", tmp_path / "rtl", interface=interface)
        with pytest.raises(ConfigError, match=f"its module is {module}. Allowed: .* interface=ports and reuse=1"):
            synthesize([tmp_path / "rtl"])

    @needs_yosys
    @pytest.mark.slow
    def test_circuits_are_counted_each_by_itself(self, tmp_path):
        from hgq2_alkaid.cost.synthesis import synthesize

        folder = tmp_path / "with spaces"
        folder.mkdir()
        reports = [export(small_model((n, 1), 3), "alkaid", folder / str(n)) for n in (1, 2)]
        export(small_model((1, 1), 3), "alkaid", folder / "pipelined", latency_cutoff=1.0)
        one, two, pipelined = synthesize([folder / "1", folder / "2", folder / "pipelined"])
        assert 0 < one.luts < two.luts
        assert one.registers == 0 < pipelined.registers
        for found, report in ((one, reports[0]), (two, reports[1])):
            assert 0.5 < report.luts.luts / found.luts < 2
