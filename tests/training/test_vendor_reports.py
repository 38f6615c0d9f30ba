"""Reports of the vendors' tools beside what is predicted; the files are written by hand, as their README says."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_run import CONFIG, hgq2

from hgq2_core.errors import ConfigError
from hgq2_training.report.vendor import read_vendor_reports

REPORTS = Path(__file__).parent / "vendor_reports"

SAYS = {
    "model.fit.summary": ("Quartus fitter", {"alms": 1508, "registers": 2044, "dsps": 3, "block_rams": 0}),
    "model.sta.rpt": ("Quartus timing", {"fmax_mhz": 312.4}),
    "model_csynth.xml": (
        "Vitis HLS",
        {
            "luts": 4102,
            "registers": 731,
            "dsps": 2,
            "block_rams": 0,
            "clock_period_ns": 3.65,
            "latency_cycles": 5,
            "interval_cycles": 1,
        },
    ),
    "model_timing.rpt": ("Vivado timing", {"slack_ns": -0.312, "clock_period_ns": 5.0}),
    "model_utilization.rpt": (
        "Vivado utilization",
        {"luts": 2643, "registers": 418, "carries": 251, "dsps": 0, "block_rams": 0},
    ),
}


def test_each_report_says_what_is_in_it():
    assert {each.file: (each.tool, each.values) for each in read_vendor_reports(REPORTS)} == SAYS


def test_reports_are_found_at_any_depth(tmp_path):
    shutil.copytree(REPORTS, tmp_path / "project" / "solution1" / "syn")
    assert len(read_vendor_reports(tmp_path)) == len(SAYS)


def test_a_directory_without_reports_is_refused(tmp_path):
    (tmp_path / "notes.rpt").write_text("nothing of a vendor")
    with pytest.raises(ConfigError, match="none of its files is a report that can be read"):
        read_vendor_reports(tmp_path)


def test_a_directory_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no directory"):
        read_vendor_reports(tmp_path / "absent")


def test_a_damaged_report_is_refused_by_its_name(tmp_path):
    (tmp_path / "model_csynth.xml").write_text("<profile>")
    with pytest.raises(ConfigError, match=r"model_csynth\.xml: is no XML"):
        read_vendor_reports(tmp_path)


def test_the_command_shows_them_beside_the_prediction(tmp_path):
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    hgq2("train", tmp_path / "tiny.yaml", "-o", tmp_path / "run")
    found = json.loads(hgq2("report", tmp_path / "run", "--vendor", REPORTS, "--json").stdout)
    assert {each["file"] for each in found["vendor"]} == set(SAYS)
    assert 0 < found["predicted"]["luts_low"] < found["predicted"]["luts_high"]
    assert "2,643" in hgq2("report", tmp_path / "run", "--vendor", REPORTS).stdout
