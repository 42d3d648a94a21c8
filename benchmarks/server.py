"""
Knows HTTP/1.1 with connections that stay open, and nothing else that takes time: `python -m benchmarks.server FILE…`.

A process of its own. It prints its port, and says over `/_control` how many requests it has answered, by provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.answers import Answer, answer
from benchmarks.dataset import Dataset

CONTROL = "/_control"
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 422: "Unprocessable Content"}
_END = b"\r\n\r\n"


class Served:
    """What all connections share: the files, by provider, and the count of requests."""

    def __init__(self, datasets: dict[str, Dataset]) -> None:
        self.datasets = datasets
        self.requests: Counter[str] = Counter()
        self.origin = ""
        self._second = 0
        self._date = ""

    def date(self) -> str:
        """Return the `Date` header's value, written once a second."""
        now = datetime.now(UTC)
        if (second := int(now.timestamp())) != self._second:
            self._second, self._date = second, now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return self._date

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        """Answer one request."""
        if target == CONTROL:
            return Answer(200, (json.dumps(self.requests).encode(),))
        provider, made = answer(target, headers, self.origin, self.datasets)
        self.requests[provider] += 1
        return made


class Connection(asyncio.Protocol):
    """One client: requests without a body, one after the other."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(_END)) >= 0:
            head, self._received = self._received[:end], self._received[end + len(_END) :]
            self._respond(head.decode("latin-1"))

    def _respond(self, head: str) -> None:
        request, *lines = head.split("\r\n")
        target = request.split(" ")[1]
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        made = self._served.answer(target, headers)
        closing = headers.get("connection", "").lower() == "close"
        shown = [
            f"HTTP/1.1 {made.status} {_REASONS[made.status]}",
            f"Date: {self._served.date()}",
            "Content-Type: application/json; charset=utf-8",
            f"Content-Length: {sum(map(len, made.body))}",
            *made.headers,
            *(["Connection: close"] if closing else []),
        ]
        if self._transport is not None:
            self._transport.writelines([("\r\n".join(shown)).encode("latin-1") + _END, *made.body])
            if closing:
                self._transport.close()


async def serve(datasets: dict[str, Dataset]) -> None:
    """Serve until the process is ended; print the port first."""
    served = Served(datasets)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(served), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    served.origin = f"http://127.0.0.1:{port}"
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main(files: list[str]) -> None:
    """Serve these files, one for each provider."""
    opened = [Dataset(Path(file)) for file in files]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve({dataset.outline.provider: dataset for dataset in opened}))


if __name__ == "__main__":
    main(sys.argv[1:])
