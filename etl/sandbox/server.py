"""Serves the sandbox over HTTP: `Sandbox`, its public class, joins the HTTP server, the control paths and the APIs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self

from etl.sandbox import control
from etl.sandbox.damage import Damage
from etl.sandbox.door import Door
from etl.sandbox.exchange import Reply
from etl.sandbox.history import History
from etl.sandbox.journal import Entry
from etl.sandbox.limits import TRUE_LIMITS, Limits
from etl.sandbox.service import Service
from etl.sandbox.switches import Switches


class Sandbox(Service):
    """
    The APIs of a history on one loopback port; a context manager that serves in threads.

    `port` 0 takes a free one. `limits`: `TRUE_LIMITS`, `NO_LIMITS` or own quotas, counted by `limit_clock` (seconds; default
    real, monotonic). `follow`: a clock that the history is moved to before every request. `on_request` is called with each
    `Entry` before its response is sent, so that what it changes is true for the next request.
    """

    def __init__(
        self,
        history: History,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        limits: Limits = TRUE_LIMITS,
        limit_clock: Callable[[], float] = time.monotonic,
        switches: Switches | None = None,
        follow: Callable[[], datetime] | None = None,
        on_request: Callable[[Entry], object] | None = None,
    ) -> None:
        super().__init__(history, limits=limits, limit_clock=limit_clock, switches=switches, follow=follow, on_request=on_request)
        self._host = host
        self._wanted_port = port
        self._door: Door | None = None

    def start(self) -> Self:
        """Start to serve. Raise OSError if the port is taken."""
        self._door = Door(self._host, self._wanted_port, answer=self._respond, micros=lambda: self.history.micros)
        self._door.open()
        return self

    def stop(self) -> None:
        """Stop serving, and close every connection."""
        door, self._door = self._door, None
        if door is not None:
            door.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *ended: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._door is None:
            raise RuntimeError("the sandbox is not serving; use it as a context manager, or call start()")
        return self._door.port

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{self._host}:{self.port}"

    def _respond(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[Reply, Damage]:
        if target.startswith(control.PREFIX):
            return control.answer(self, method, target, body), Damage()
        return self.answer(method=method, target=target, headers=headers)
