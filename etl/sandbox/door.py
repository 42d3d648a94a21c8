"""The HTTP server: takes requests on one port, keeps connections alive, sends replies whole or spoiled."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from etl.sandbox.damage import Damage, filler
from etl.sandbox.exchange import Reply
from etl.sandbox.instants import to_http_date

Answer = Callable[[str, str, Mapping[str, str], bytes], tuple[Reply, Damage]]
"""What is answered to a method, a target, headers with names in lower case and a body, and how that is spoiled on the way."""


class Door:
    """One listening port: every request is handed to `answer`, and `micros` is the instant that responses are dated with."""

    def __init__(self, host: str, port: int, *, answer: Answer, micros: Callable[[], int]) -> None:
        self._server = _Server(host, port, answer=answer, micros=micros)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="sandbox", daemon=True
        )
        self.port: int = self._server.server_address[1]

    def open(self) -> None:
        """Start to accept requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop accepting requests, and close every connection."""
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, *, answer: Answer, micros: Callable[[], int]) -> None:
        self.answer = answer
        self.micros = micros
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._busy: set[threading.Thread] = set()
        self._guard = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._busy.add(threading.current_thread())
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._busy.discard(threading.current_thread())

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away; leave anything else to the base class."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End every connection, so that no thread waits for a request, and wait for the threads."""
        self.closing.set()
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            busy = list(self._busy)
        for thread in busy:
            thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    rbufsize = 1 << 16

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_GET  # noqa: N815 - named by the base class
    do_DELETE = do_GET  # noqa: N815 - as do_POST
    do_PUT = do_GET  # noqa: N815 - as do_POST
    do_PATCH = do_GET  # noqa: N815 - as do_POST

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        """Log nothing: the sandbox keeps its own journal."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply, damage = self.server.answer(self.command, self.path, headers, body)
        if damage.delay:
            self.server.closing.wait(damage.delay)
        self._send(reply, damage)

    def _send(self, reply: Reply, damage: Damage) -> None:
        if damage.cut == -1:
            self.close_connection = True
            return
        head = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        head.append(f"Date: {to_http_date(self.server.micros())}")
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        if damage.endless:
            head.append("Transfer-Encoding: chunked")
        elif reply.status != HTTPStatus.NO_CONTENT:
            head.append(f"Content-Length: {len(reply.body)}")
        start = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        if damage.endless:
            self.close_connection = True
            self.wfile.write(start)
            for block in filler(damage.endless):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            self.wfile.write(b"0\r\n\r\n")
            return
        if damage.cut is not None:
            self.close_connection = True
            self.wfile.write(start + reply.body[: damage.cut])
            return
        self.wfile.write(start + reply.body)
