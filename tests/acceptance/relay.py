"""Knows how to stand between the program and the sandbox, and to alter what the sandbox answers."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(slots=True, kw_only=True)
class Told:
    """An answer on its way: what was asked for (the path behind the base address, and the query), and what goes out."""

    path: str
    query: dict[str, str]
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""


Alter = Callable[[Told], None]


class Relay:
    """
    A server on loopback before another one, a context manager; `alter` may change each answer in place.

    Links to the server behind it lead to the relay, as gateways have them.
    """

    def __init__(self, target: str, alter: Alter) -> None:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                relay._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                pass

        self._target = target
        self._alter = alter
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.asked: list[Told] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the program is to ask in place of the target."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        passed = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "accept-encoding")}
        request = urllib.request.Request(self._target + handler.path, headers=passed)  # noqa: S310 - loopback
        try:
            answer = urllib.request.urlopen(request)  # noqa: S310 - as above
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            kept = ("content-type", "date", "retry-after", "link")
            parts = urlsplit(handler.path)
            told = Told(
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                status=answer.status,
                body=answer.read().replace(self._target.encode(), self.url.encode()),
                headers={
                    name: value.replace(self._target, self.url)
                    for name, value in answer.headers.items()
                    if name.lower() in kept or name.lower().startswith("x-")
                },
            )
        self._alter(told)
        self.asked.append(told)
        handler.send_response_only(told.status)
        for name, value in told.headers.items():
            handler.send_header(name, value)
        if told.status != 204:
            handler.send_header("Content-Length", str(len(told.body)))
        handler.end_headers()
        handler.wfile.write(told.body)
