"""`hgq2 export --to hls4ml` on a small run."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("hls4ml", reason="hls4ml is not installed: make install")

from tiny_run import CONFIG, hgq2


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
def test_export_simulates_the_whole_test_split(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    hgq2("train", tmp_path / "tiny.yaml", "-o", tmp_path / "run")
    options = ["--to", "hls4ml", "--option", "backend=Vivado", "--option", "clock_period=2.5"]
    shown = hgq2("export", tmp_path / "run", *options, "-o", tmp_path / "hls", "--simulate").stdout.splitlines()
    assert shown[-1] == "0 mismatches in 708 samples (simulated circuit == integers)"
    assert "ClockPeriod: 2.5" in (tmp_path / "hls/hls4ml_config.yml").read_text()
    options = ["--to", "hls4ml", "--latency-cutoff", "3"]
    refused = hgq2("export", tmp_path / "run", *options, "-o", tmp_path / "other", code=2)
    assert "export to hls4ml: unknown field 'latency_cutoff'. Allowed: backend, " in refused.stderr
    assert not (tmp_path / "other").exists()
