"""A headless Chromium, told what to do through a pipe by the DevTools protocol, without further packages."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")


class Page:
    """A page in a browser."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests, self._answers = requests, answers
        self._rest, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        """What the console and the network complained of."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page at a width, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.resize(width, height)
        self._loaded = False
        self.call("Page.navigate", url=url)
        self._wait()

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window another size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def follow(self, expression: str) -> None:
        """Evaluate an expression that leads to another page, and wait for it."""
        self._loaded = False
        self.evaluate(expression)
        self._wait()

    def _wait(self) -> None:
        while not self._loaded:
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page to a PNG file."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        found: int = self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        number = self._number
        session = {"sessionId": self._session} if self._session else {}
        self._requests.write(
            json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0"
        )
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = os.read(self._answers.fileno(), 1 << 20)
            assert read, "Chromium has ended"
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Log.entryAdded":
            self.problems.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert")
        ):
            self.problems.append(json.dumps(parameters))


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Yield a page of a new browser, which ends with the block.

    Args:
        profile: a folder for its files.
    """
    assert PROGRAM is not None
    (their_requests, requests), (answers, their_answers) = os.pipe(), os.pipe()
    # The protocol is spoken on descriptors 3 and 4, whatever numbers the pipes have here.
    command = 'exec "$@" 3<&"$REQUESTS" 4>&"$ANSWERS"'
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", PROGRAM, *flags, f"--user-data-dir={profile}", "about:blank"],
        env={**os.environ, "REQUESTS": str(their_requests), "ANSWERS": str(their_answers)},
        pass_fds=(their_requests, their_answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(their_requests)
    os.close(their_answers)
    with os.fdopen(requests, "wb", 0) as to_browser, os.fdopen(answers, "rb", 0) as from_browser:
        try:
            yield Page(to_browser, from_browser)
        finally:
            process.terminate()
            process.wait(timeout=30)
