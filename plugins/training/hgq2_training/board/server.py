"""An HTTP server for the web view: this machine alone, and nothing but reading."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_training.board.pages import Board

LOOPBACK = "127.0.0.1"
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    # A report may be somebody else's file: no scripts, nothing from elsewhere.
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BoardServer(ThreadingHTTPServer):
    """A server of the pages of one directory, on the loopback device.

    Args:
        root: the directory.
        port: a free port, or 0 for any.

    Raises:
        ConfigError: the port is not free.
    """

    daemon_threads = True

    def __init__(self, root: Path, port: int = 0) -> None:
        self.board = Board(root)
        # matplotlib's settings are one for all threads.
        self.drawing = threading.Lock()
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"board: port {port} cannot be used: {error.strerror}. Give another: --port N."
            ) from error

    @property
    def url(self) -> str:
        """The address of the list of runs."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which a browser may ask, so that no other site's name leads here."""
        return tuple(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; http.server refuses every other method."""

    server: BoardServer
    server_version, sys_version = "hgq2", ""
    timeout = 30

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(HTTPStatus.FORBIDDEN, "Not this host")
            return
        address = urlsplit(self.path)
        try:
            page = self._page(unquote(address.path, errors="surrogateescape"), parse_qs(address.query))
        except ConfigError as error:
            self.send_error(HTTPStatus.FORBIDDEN, "This is not shown", str(error))
            return
        except Exception as error:  # files of runs may be damaged in any way, or vanish meanwhile; the server goes on
            seen = f"{type(error).__name__}: {error}"
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, "This page cannot be made", seen)
            return
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content = page.encode(errors="replace")
        self.send_response(HTTPStatus.OK)
        for name, value in {**HEADERS, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET

    def _page(self, path: str, query: dict[str, list[str]]) -> str | None:
        """Return a page; names are looked up among what was found, never opened as paths."""
        board, (kind, _, name) = self.server.board, path.removeprefix("/").partition("/")
        named: dict[str, Callable[[str], str | None]] = {"run": board.run, "sweep": board.sweep}
        alone: dict[str, Callable[[], str]] = {
            "": board.index,
            "compare": lambda: board.compare(query.get("run", [])),
            "favicon.ico": str,
        }
        with self.server.drawing:
            if name:
                return named[kind](name) if kind in named else None
            return alone[kind]() if kind in alone else None

    @override
    def log_message(self, format: str, *arguments: Any) -> None:
        return
