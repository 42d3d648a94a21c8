"""What the tests of the HTTP room share: a clock that only moves when told, a made-up provider, a client, a loopback server."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from etl.http.client import Client, HttpOptions
from etl.http.limits import Limiter
from etl.provider import Failure, Header, Limit, Listing, Order, PageFacts, Provider

TOKEN = "sk-acme-5eCr3tT0k3nV4lue"
START = datetime(2026, 3, 15, 12, 0, 0, tzinfo=UTC)


class VirtualClock:
    """A clock whose sleep moves it; threads may share it."""

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = start
        self.slept: list[float] = []

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._now += timedelta(seconds=seconds)

    def set(self, now: datetime) -> None:
        with self._lock:
            self._now = now


def acme_failure(status: int, body: Any) -> Failure | None:
    """An error envelope that has every oddity of the real ones."""
    if not isinstance(body, dict):
        return None
    if status == 200 and body.get("status") != "error":
        return None
    message = body.get("message") or body.get("error")
    message = "; ".join(map(str, message)) if isinstance(message, list) else message
    known = {"Unauthorized": 401, "Call not found": 404, "Slow down": 429}
    return Failure(
        code=body.get("code"),
        message=message,
        naming="call" if message == "Call not found" else None,
        status=known.get(str(message)),
    )


def acme(**changes: Any) -> Provider:
    """A provider's form, filled in as far as the HTTP room reads it."""
    facts: dict[str, Any] = {
        "name": "acme",
        "title": "Acme",
        "base_url": "https://api.example.com/v1",
        "headers": (
            Header(name="Authorization", setting="token", template="Bearer {value}"),
            Header(name="x-organization-id", setting="organization_id", required=False),
        ),
        "listing": Listing(
            order=Order.NEWEST_FIRST,
            path="/calls",
            records=("data",),
            styles=(),
            page_sizes=(100,),
            facts=lambda _fields, _headers: PageFacts(),
        ),
        "call_id": "id",
        "cursor": "created_at",
        "fields": (),
        "statuses": {},
        "failure": acme_failure,
        "lookback": timedelta(hours=2),
        "links": {"token": "https://example.com/keys"},
    }
    return Provider(**(facts | changes))


class Responder(BaseHTTPRequestHandler):
    """Answers with the test's function and keeps what was asked."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.server.respond(self)

    do_POST = do_GET  # noqa: N815 - the base class names it so

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A server on loopback; a client that goes away is no error."""

    daemon_threads = True

    def __init__(self, respond: Callable[[Responder], None]) -> None:
        super().__init__(("127.0.0.1", 0), Responder)
        self.respond = respond
        self.heard: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def make_clock() -> type[VirtualClock]:
    return VirtualClock


@pytest.fixture
def provider() -> Callable[..., Provider]:
    return acme


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Responder], None]], Server]]:
    """Give a function that starts a server on loopback; all are stopped with the test."""
    with ExitStack() as stack:

        def start(respond: Callable[[Responder], None]) -> Server:
            server = Server(respond)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def connect(clock: VirtualClock) -> Iterator[Callable[..., Client]]:
    """Give a function that makes a client: `handler` answers its requests, or `base_url` is real."""
    with ExitStack() as stack:

        def make(
            handler: Callable[[httpx.Request], httpx.Response] | None = None,
            *,
            base_url: str = "https://api.example.com/v1",
            form: Provider | None = None,
            limit: Limit | None = None,
            daily: int | None = None,
            limiter: Limiter | None = None,
            allow_http: bool = False,
            **options: Any,
        ) -> Client:
            http: dict[str, Any] = {
                "timeout": timedelta(seconds=300),
                "max_attempts": 4,
                "backoff": timedelta(seconds=0.5),
                "max_backoff": timedelta(seconds=60),
                "max_response_bytes": 1_000_000,
            }
            client = Client(
                provider=form or acme(),
                base_url=base_url,
                credentials={"token": TOKEN, "organization_id": "org-1"},
                limiter=limiter or Limiter(limits=[limit] if limit else (), daily=daily, clock=clock),
                http=HttpOptions(**(http | options)),
                connection="voice",
                clock=clock,
                random=random.Random(7),
                transport=httpx.MockTransport(handler) if handler else None,
                allow_http=allow_http,
            )
            return stack.enter_context(client)

        yield make
