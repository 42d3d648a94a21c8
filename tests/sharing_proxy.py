"""Knows a pooler in transaction mode: a proxy through which all clients share one session of the server."""

from __future__ import annotations

import socket
import struct
from threading import Lock, Thread
from typing import Self

import pytest
from sqlalchemy import make_url


class SharingProxy:
    """A proxy that gives every client the same session, a transaction at a time, as poolers do; a context manager."""

    def __init__(self, url: str) -> None:
        """Stand before the server of `url`, which is reached by a local socket; the test is skipped where it is not."""
        parsed = make_url(url)
        directory = parsed.query.get("host")
        if not isinstance(directory, str) or not directory.startswith("/"):
            pytest.skip("the proxy speaks to a server on a local socket only")
        self._target = f"{directory}/.s.PGSQL.{parsed.port or parsed.query.get('port', 5432)}"
        self._database = parsed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._mine = Lock()
        self._server: socket.socket | None = None
        self._greeting = b""
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    @property
    def url(self) -> str:
        """The address of the database through the proxy."""
        options = {"sslmode": "disable", "gssencmode": "disable"}
        through = self._database.set(query=options, host="127.0.0.1", port=self._listener.getsockname()[1])
        return through.render_as_string(hide_password=False)

    def __exit__(self, *ended: object) -> None:
        """Take no more clients and let the server's session go."""
        self._listener.close()
        if self._server is not None:
            self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            startup = struct.pack("!i", length) + _exactly(client, length - 4)
            with self._mine:
                if self._server is None:
                    self._server = socket.socket(socket.AF_UNIX)
                    self._server.connect(self._target)
                    self._server.sendall(startup)
                    while not self._greeting.endswith(b"Z\0\0\0\5I"):
                        kind, message = _message(self._server)
                        self._greeting += message
            server = self._server
            client.sendall(self._greeting)
            inside = False
            try:
                while True:
                    kind, message = _message(client)
                    if kind == b"X":
                        return
                    if not inside:
                        self._mine.acquire()
                        inside = True
                    server.sendall(message)
                    if kind in (b"Q", b"S"):
                        while kind != b"Z":
                            kind, message = _message(server)
                            client.sendall(message)
                        if message.endswith(b"I"):
                            self._mine.release()
                            inside = False
            except ConnectionError:
                return
            finally:
                if inside:
                    self._mine.release()


def _exactly(peer: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (more := peer.recv(size - len(received))):
            raise ConnectionError
        received += more
    return received


def _message(peer: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(peer, 5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + _exactly(peer, length - 4)
