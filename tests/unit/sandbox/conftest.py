"""What the tests of the sandbox share: a small history, and a plain HTTP client that shows what really came over the wire."""

from __future__ import annotations

import contextlib
import http.client
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from etl.sandbox import NO_LIMITS, History, Sandbox

START = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
RATES = {"tuple": 150, "bimpe": 100, "salpre": 60, "krosai": 60, "aircall": 60, "twilio": 60}


@dataclass(frozen=True)
class Response:
    """One response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded strictly."""
        return json.loads(self.body)


class Asker:
    """Sends requests over one connection that is kept alive, with the main account's credentials unless told otherwise."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=300)

    def send(self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Response:
        """Send one request; a connection that was cut is an exception."""
        split = urlsplit(url)
        target = split.path + ("?" + split.query if split.query else "")
        try:
            self._connection.request(method, target, body=body, headers=headers or {})
            answer = self._connection.getresponse()
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def get(self, provider: str, path: str, *, headers: dict[str, str] | None = None, **query: object) -> Response:
        """Ask a provider."""
        return self.send("GET", self.address(provider, path, **query), self.credential(provider) if headers is None else headers)

    def address(self, provider: str, path: str, **query: object) -> str:
        """Return the address of a path below a provider's base URL."""
        return self.sandbox.url(provider) + path + ("?" + urlencode(query) if query else "")

    def credential(self, provider: str, token: str | None = None) -> dict[str, str]:
        """Return the header that a provider wants."""
        token = token or self.sandbox.tokens[provider]
        if provider in ("aircall", "twilio"):
            (user,) = self.sandbox.own[provider].values()
            pair = f"{user}:{token}"
            return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
        return {"account-secret-key": token} if provider == "salpre" else {"Authorization": f"Bearer {token}"}

    def control(self, method: str, path: str, asked: object = None) -> Response:
        """Use a control path."""
        body = None if asked is None else json.dumps(asked).encode()
        return self.send(method, f"{self.sandbox.origin}/_sandbox/{path}", {}, body)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    # Complete readings

    def read(self, provider: str, agent: str = "") -> list[Any]:
        """Read a whole list by its documented paging, in the order of the pages."""
        readers = {"tuple": self._tuple, "bimpe": lambda: self._bimpe(agent), "salpre": self._salpre, "krosai": self._krosai}
        return (readers | {"aircall": self._aircall, "twilio": self._twilio})[provider]()

    def _tuple(self) -> list[Any]:
        records: list[Any] = []
        until = (self.sandbox.history.now + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
        for page in range(1, 1000):
            answer = self.get("tuple", "/api/v2/call_usage", since="2026-01-01T00:00:00Z", until=until, per_page=50, page=page)
            records += answer.json
            if 'rel="next"' not in answer.headers.get("link", ""):
                break
        return records

    def _bimpe(self, agent: str) -> list[Any]:
        records: list[Any] = []
        for page in range(1, 1000):
            body = self.get("bimpe", f"/agents/{agent}/calls", sort="-created_on", limit=30, page=page).json
            records += body["data"]
            if not body["meta"]["has_next_page"]:
                break
        return records

    def _salpre(self) -> list[Any]:
        records: list[Any] = []
        for page in range(1, 1000):
            body = self.get("salpre", "/call/list", per_page=30, page=page).json
            records += body["data"]
            if not body["meta"]["has_next"]:
                break
        return records

    def _aircall(self) -> list[Any]:
        records: list[Any] = []
        for page in range(1, 1000):
            body = self.get("aircall", "/calls", **{"from": 0}, per_page=50, page=page).json
            records += body["calls"]
            if body["meta"]["next_page_link"] is None:
                break
        return records

    def _twilio(self) -> list[Any]:
        records: list[Any] = []
        query: dict[str, object] = {"PageSize": 30}
        for _ in range(1000):
            body = self.get("twilio", f"/Accounts/{self.sandbox.own['twilio']['account_sid']}/Calls.json", **query).json
            records += body["calls"]
            if body["next_page_uri"] is None:
                break
            query = dict(parse_qsl(urlsplit(body["next_page_uri"]).query))
        return records

    def _krosai(self) -> list[Any]:
        records: list[Any] = []
        for page in range(1, 1000):
            body = self.get("krosai", "/calls", limit=30, page=page).json
            records += body["data"]
            if page >= body["total_pages"]:
                break
        return [{**record, "recording_url": unsigned(record["recording_url"])} for record in records]


def unsigned(url: str | None) -> str | None:
    """Leave out the signature, which differs in every response."""
    return None if url is None else url.partition("?")[0]


Serve = Callable[..., Asker]


@pytest.fixture(name="unsigned")
def _unsigned() -> Callable[[str | None], str | None]:
    return unsigned


@pytest.fixture
def history() -> History:
    """Two quiet days and a clock in the past."""
    return History(11, start=START, past=timedelta(days=2), calls_per_day=RATES, agent_changes=(0, 0, 0))


@pytest.fixture
def serve(history: History) -> Iterator[Serve]:
    """Serve the history (or another one) with these options of `Sandbox`; no rate limits unless asked."""
    with contextlib.ExitStack() as stack:

        def start(other: History | None = None, **options: Any) -> Asker:
            sandbox = stack.enter_context(Sandbox(other or history, **{"limits": NO_LIMITS, **options}))
            asker = Asker(sandbox)
            stack.callback(asker.close)
            return asker

        yield start


@pytest.fixture
def ask(serve: Serve) -> Asker:
    """The history, served without rate limits."""
    return serve()
