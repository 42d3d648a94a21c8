"""Knows a hook that listens on loopback: what it was told, and what it answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

SECRET = "/services/T0made-up/1a2b3c4d"
BEAT = "/beat/5e6f7a8b"


class LoopbackHook:
    """Keeps the texts that were posted, and how often its heartbeat was asked for. `answers` are the next statuses, then 200."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.beats = 0
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == BEAT
                hook.beats += 1
                self._answer(200)

            def do_POST(self) -> None:
                assert self.path == SECRET
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    assert list(document) == ["text"]
                    hook.texts.append(document["text"])
                self._answer(status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where alerts are posted."""
        return f"http://127.0.0.1:{self._server.server_port}{SECRET}"

    @property
    def heartbeat_url(self) -> str:
        """What is asked for when all is fresh."""
        return f"http://127.0.0.1:{self._server.server_port}{BEAT}"

    def taken(self) -> list[str]:
        """Return the texts since the last call."""
        texts, self.texts = self.texts, []
        return texts
