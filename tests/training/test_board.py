"""The web view of runs: what it shows, from files alone, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from chromium import browser, needs_chromium
from typer.testing import CliRunner

from hgq2_core.cli.main import app
from hgq2_core.config.model import ModelConfig
from hgq2_core.errors import ConfigError
from hgq2_training.board.finder import find
from hgq2_training.board.server import BoardServer
from hgq2_training.report.sweep import sweep_page
from hgq2_training.runs.train import train

pytestmark = pytest.mark.once


def row(number: int, **more: Any) -> dict[str, Any]:
    values = {"val_accuracy": 0.9 + number / 100, "ebops": 1000.0 * (number + 1)}
    return {
        **{"number": number, "state": "complete", "params": {"model.layers.a.units": 8 * number}, "seed": number},
        **{
            "values": values,
            "feasible": True,
            "note": "",
            "deviations": {},
            "directory": f"/elsewhere/trial_{number:04d}",
        },
        **more,
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one of them with a name that needs escapes, a third that trains, and a sweep of three trials."""
    folder = tmp_path_factory.mktemp("board")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=x[:, 0] > 0)
    document = {
        "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "name": "logit", "units": 1}]},
        "data": {"kind": "npz", "path": str(folder / "data.npz")},
        "training": {
            "loss": {"kind": "binary_crossentropy", "from_logits": True},
            "metrics": [{"kind": "binary_accuracy", "threshold": 0.0}],
            "epochs": 2,
        },
    }
    root = folder / "runs"
    train(ModelConfig.parse(document), root / "first")
    shutil.copytree(root / "first", root / "deep" / "a b<i>&é")
    shutil.copytree(root / "first", root / "training")
    for name in ("metrics.json", "report.html", "analysis.json"):
        (root / "training" / name).unlink()
    sweep = root / "sweeps" / "units"
    shutil.copytree(root / "first", sweep / "trial_0000")
    (sweep / "sweep.yaml").write_text("sweep: {}")
    front = [row(0, deviations={"val_accuracy": 0.01, "ebops": 50.0}), row(1)]
    (sweep / "front.json").write_text(json.dumps(front))
    (sweep / "trials.json").write_text(
        json.dumps([row(0), row(1), row(2, state="failed", values={}, note="x\nits end")])
    )
    running = sweep / "trial_0003" / "trial"
    running.mkdir(parents=True)
    (running / "trial.json").write_text(json.dumps({"params": {"model.layers.a.units": 9}, "seed": 0}))
    (running / "epochs.jsonl").write_text('\n{"epoch": 0, "val_accuracy": 0.5, "ebops": 7000}')
    return root


@contextmanager
def serving(root: Path) -> Iterator[BoardServer]:
    with BoardServer(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[BoardServer]:
    with serving(runs) as server:
        yield server


def ask(server: BoardServer, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", f"127.0.0.1:{server.server_port}" if host is None else host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def links(text: str) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', text)


def test_it_finds_runs_and_sweeps_at_any_depth(runs: Path) -> None:
    found = find(runs)
    assert {name: place.is_sweep for name, place in found.items()} == {
        "deep/a b<i>&é": False,
        "first": False,
        "sweeps/units": True,
        "sweeps/units/trial_0000": False,
        "training": False,
    }
    assert [place.name for place in find(runs / "first").values()] == ["first"]


def test_links_out_of_the_directory_are_not_followed(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs / "first")
    assert find(tmp_path) == {}


@pytest.mark.parametrize("name", ["report.html", "config.yaml", "history.json", "origin.json", "front/front.json"])
def test_a_run_with_a_file_from_elsewhere_is_refused(name: str, runs: Path, tmp_path: Path) -> None:
    """A run may be somebody else's; a link in it could show any file of this machine."""
    (tmp_path / "secret").write_text('{"date": "a secret", "entries": []}')
    root = tmp_path / "runs"
    for run in ("mine", "other"):
        shutil.copytree(runs / "first", root / run)
    path = root / "other" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "secret")
    with serving(root) as server:
        answers = {page: ask(server, page)[:2] for page in ("/", "/run/other", "/compare?run=mine&run=other")}
        assert ask(server, "/run/mine")[0] == 200
    assert [status for status, _ in answers.values()] == [200, 403, 200]
    for _, text in answers.values():
        assert f"not shown: {name} leads out of the directory of the runs" in text and "a secret" not in text


def test_a_pipe_in_a_run_blocks_no_page(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "training", tmp_path / "run")
    (tmp_path / "run" / "config.yaml").unlink()
    os.mkfifo(tmp_path / "run" / "config.yaml")
    with serving(tmp_path) as server:
        assert [ask(server, page)[0] for page in ("/", "/run/run")] == [200, 403]


def test_a_sweep_with_a_trial_from_elsewhere_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sweeps" / "units", tmp_path / "runs" / "units")
    (tmp_path / "runs" / "units" / "trial_0009").symlink_to(runs / "first")
    with serving(tmp_path / "runs") as server:
        assert ask(server, "/sweep/units")[0] == 403
        assert "trial_0009 leads out" in ask(server, "/")[1]


def test_runs_are_found_while_their_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", "metrics.json"):
        (tmp_path / "run" / name).write_text("{}")
    walk = os.walk

    def walked(top: Path) -> Iterator[Any]:
        return ((folder, folders, [*files, ".model.keras.partial"]) for folder, folders, files in walk(top))

    with monkeypatch.context() as patch:
        patch.setattr(os, "walk", walked)  # a temporary file that is gone by now
        assert find(tmp_path)["run"].foreign == ""
    (tmp_path / "run" / "loop").symlink_to("loop")
    assert list(find(tmp_path)) == ["run"]


def test_links_within_the_directory_are_shown(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", tmp_path / "run")
    (tmp_path / "run" / "report.html").rename(tmp_path / "page.html")
    (tmp_path / "run" / "report.html").symlink_to("../page.html")
    with serving(tmp_path) as server:
        assert ask(server, "/run/run")[0] == 200


def test_the_list_has_the_key_figures(server: BoardServer, runs: Path) -> None:
    status, text, _ = ask(server, "/")
    metrics = json.loads((runs / "first" / "metrics.json").read_text())
    assert status == 200
    assert f"{metrics['test']['binary_accuracy']:.4f}" in text
    assert f">{metrics['ebops']:,.0f}</td>" in text
    assert "2 epochs, the last" in text and "3 trials, 2 on the front" in text
    assert "<i>" not in text


def test_every_link_leads_somewhere(server: BoardServer) -> None:
    _, text, _ = ask(server, "/")
    assert len(links(text)) == 5
    for link in links(text):
        assert ask(server, link)[0] == 200, link


def test_a_report_is_served_as_it_is(server: BoardServer, runs: Path) -> None:
    name = "deep/a b<i>&é"
    assert ask(server, f"/run/{quote(name)}")[1] == (runs / name / "report.html").read_text()


def test_a_run_that_trains_shows_its_curves(server: BoardServer) -> None:
    _, text, _ = ask(server, "/run/training")
    assert text.count("<svg") >= 3
    assert 'http-equiv="refresh"' in text


def test_a_sweep_shows_its_front_and_what_runs(server: BoardServer) -> None:
    _, text, _ = ask(server, "/sweep/sweeps/units")
    assert "Sweep: 2 complete, 1 failed, 1 running" in text
    assert "0.9000 ± 0.0100" in text and "1,000 ± 50" in text
    assert "epoch 1" in text and "its end" in text and 'http-equiv="refresh"' in text
    assert links(text) == ["/run/sweeps/units/trial_0000"]
    assert "mean and deviation of the seeds" in text


def test_a_sweep_without_seeds_has_no_error_bars(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text(json.dumps([row(0), row(1)]))
    (tmp_path / "front.json").write_text(json.dumps([row(0), row(1)]))
    text = sweep_page(tmp_path, str)
    assert ">front</text>" in text and "deviation" not in text and "refresh" not in text


def test_the_report_of_a_sweep_is_a_page_in_its_directory(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "sweeps" / "units", tmp_path / "units")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "units")])
    assert (result.exit_code, result.stdout.replace("\n", "")) == (0, f"page: {tmp_path / 'units' / 'report.html'}")
    assert links((tmp_path / "units" / "report.html").read_text()) == ["trial_0000/report.html"]


def test_runs_are_compared(server: BoardServer) -> None:
    status, text, _ = ask(server, f"/compare?run=first&run={quote('deep/a b<i>&é')}")
    assert status == 200
    assert "<svg" in text and "a b&lt;i&gt;&amp;é" in text and "Settings that differ" in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?run=first", "takes two runs or more"),
        ("", "takes two runs or more"),
        ("?run=first&run=training", "the training did not end"),
        ("?run=first&run=../../etc", "There is no run ../../etc."),
    ],
)
def test_what_cannot_be_compared_is_said(server: BoardServer, query: str, words: str) -> None:
    status, text, _ = ask(server, f"/compare{query}")
    assert (status, words in text) == (200, True)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/run/../../../../etc/passwd",
        "/run/%2e%2e/%2e%2e/etc/passwd",
        "/run/..%2f..%2f..%2fetc%2fpasswd",
        "/run//etc/passwd",
        "/run/first/../first",
        "/run/first/config.yaml",
        "/run/first%00",
        "/sweep/first",
        "/run/sweeps/units",
        "/run/",
        "/report.html",
        "//first",
        "/compare/first",
    ],
)
def test_nothing_else_is_served(server: BoardServer, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_other_names_for_this_machine_are_refused(server: BoardServer, host: str) -> None:
    status, text, _ = ask(server, "/", host=host)
    assert status == 403
    assert "first" not in text


def test_localhost_is_a_name_for_it(server: BoardServer) -> None:
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_it_only_reads(server: BoardServer, method: str) -> None:
    assert ask(server, "/", method=method)[0] == 501


def test_head_has_no_body(server: BoardServer) -> None:
    status, text, headers = ask(server, "/", method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 0


def test_pages_may_not_run_scripts_nor_load_anything(server: BoardServer) -> None:
    _, _, headers = ask(server, "/run/first")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_only_this_machine_is_answered(server: BoardServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_nothing_is_written(server: BoardServer, runs: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in runs.rglob("*")}

    before = state()
    for path in ("/", "/run/first", "/run/training", "/sweep/sweeps/units", "/compare?run=first&run=training"):
        assert ask(server, path)[0] == 200
    assert state() == before


def test_a_port_that_is_taken_is_named(server: BoardServer, runs: Path) -> None:
    with pytest.raises(ConfigError, match=rf"board: port {server.server_port} cannot be used: .* --port N"):
        BoardServer(runs, server.server_port)


def test_without_a_directory_the_command_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["board", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "there is no directory of runs" in result.stderr


def test_damaged_files_do_not_hide_the_others(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "first", tmp_path / "whole")
    shutil.copytree(runs / "first", tmp_path / "damaged")
    (tmp_path / "damaged" / "metrics.json").write_text("{")
    with BoardServer(tmp_path) as server:
        assert "whole" in server.board.index()


@pytest.mark.slow
@needs_chromium
def test_it_works_in_a_browser(server: BoardServer, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as page:
        for width in (390, 1280):
            for path in (
                "",
                "sweep/sweeps/units",
                "run/training",
                "run/first",
                "compare?run=first&run=deep/a b<i>%26é",
            ):
                page.open(server.url + path, width, dark=width == 390)
                assert (path, width, page.overflow) == (path, width, 0)
        page.open(server.url)
        page.evaluate("document.querySelectorAll('input').forEach(box => { box.checked = true })")
        page.follow("document.querySelector('button').click()")
        assert page.evaluate("document.querySelector('h1').textContent") == "Comparison"
        assert page.evaluate("document.querySelectorAll('svg').length") == 1
        assert page.problems == []


def test_damaged_files_of_a_run_cost_only_its_own_page(runs: Path, tmp_path: Path) -> None:
    for name in ("whole", "damaged"):
        shutil.copytree(runs / "first", tmp_path / name)
    (tmp_path / "damaged" / "origin.json").write_text("{")
    (tmp_path / "damaged" / "report.html").write_bytes(b"\xff")
    with serving(tmp_path) as server:
        answers = {path: ask(server, path)[:2] for path in ("/run/damaged", "/", "/run/whole")}
    assert [status for status, _ in answers.values()] == [500, 200, 200]
    assert "This page cannot be made" in answers["/run/damaged"][1] and "damaged" in answers["/"][1]
