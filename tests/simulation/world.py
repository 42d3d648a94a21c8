"""Knows a world to simulate in: a provider's history, its API without a network, and one clock for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import httpx

from etl.http.accounts import Accounts
from etl.http.client import Client, HttpOptions
from etl.http.limits import Limiter
from etl.provider import Provider
from etl.runs.account import Account
from etl.runs.allowances import AllowanceBook
from etl.sandbox import History
from etl.sandbox.damage import Damage
from etl.sandbox.exchange import Reply
from etl.sandbox.instants import to_http_date
from etl.sandbox.limits import TRUE_LIMITS
from etl.sandbox.service import TOKENS, Service
from etl.sandbox.switches import Switches
from tests.simulation.pulse import Pulse

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HTTP = HttpOptions(
    timeout=timedelta(seconds=30),
    max_attempts=8,
    backoff=timedelta(seconds=0.5),
    max_backoff=timedelta(seconds=60),
    max_response_bytes=1 << 22,
)


class Apis(Service):
    """The sandbox's APIs, asked in the same thread."""

    origin = "http://127.0.0.1:1"


@dataclass
class Clock:
    """The clock of this machine: the history's, `off` from it, and later each time that it is looked at."""

    history: History
    pulse: Pulse
    off: timedelta
    ticks: int = 0

    def now(self) -> datetime:
        """See `etl.effects.Clock`."""
        self.ticks += 1
        return self.history.now + self.off + timedelta(microseconds=self.ticks)

    def sleep(self, seconds: float) -> None:
        """See `etl.effects.Clock`; meanwhile the history goes on."""
        self.pulse.beat()
        self.history.advance(timedelta(seconds=max(seconds, 0)))


@dataclass
class Wire(httpx.BaseTransport):
    """Carries one process's requests to the APIs and back; both ways take time, in which the history goes on."""

    apis: Apis
    clock: Clock
    pulse: Pulse
    random: Random
    answers: int = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and let the answer meet its fault."""
        self.pulse.beat()
        self.apis.history.advance(timedelta(milliseconds=self.random.randint(1, 150)))
        target = request.url.raw_path.decode("ascii")
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply, damage = self.apis.answer(method=request.method, target=target, headers=headers)
        dated = to_http_date(self.apis.history.micros)
        self.apis.history.advance(timedelta(milliseconds=self.random.randint(1, 150), seconds=damage.delay))
        self.pulse.beat()
        self.answers += 1
        if damage.cut == -1:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        given = {"Date": dated, "Content-Length": str(len(reply.body)), **reply.headers}
        return httpx.Response(reply.status, headers=given, stream=_Stream(reply, damage))


@dataclass
class _Stream(httpx.SyncByteStream):
    reply: Reply
    damage: Damage

    def __iter__(self) -> Iterator[bytes]:
        yield self.reply.body[: self.damage.cut]
        if self.damage.cut is not None:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@dataclass
class World:
    """
    One account at one provider, as it is and goes on.

    `off` is how far this machine's clock is ahead of the provider's.
    """

    seed: int
    provider: str
    history: History
    switches: Switches = field(default_factory=Switches)
    off: timedelta = timedelta(seconds=1)
    limited: bool = True
    apis: Apis = field(init=False)

    def __post_init__(self) -> None:
        self.apis = Apis(
            self.history,
            limits=TRUE_LIMITS if self.limited else {},
            limit_clock=lambda: self.history.micros / 1_000_000,
            switches=self.switches,
            follow=None,
            on_request=None,
        )


@dataclass
class Connection:
    """`etl.runs.lifecycle.Connect` of one simulated process."""

    world: World
    provider: Provider
    clock: Clock
    pulse: Pulse
    random: Random
    book: AllowanceBook
    daily: int | None = None
    clients: list[Client] = field(default_factory=list)
    _limiter: Limiter | None = None

    @contextmanager
    def reserved(self, account: Account) -> Iterator[None]:
        """See `Connect.reserved`."""
        accounts = Accounts(self.book, clock=self.clock, random=self.random)
        token = TOKENS[self.world.provider]
        with accounts.limiter(self.world.provider, token, limits=self.provider.limits, daily=self.daily) as self._limiter:
            yield

    def __call__(self, account: Account) -> Client:
        """See `Connect`."""
        assert self._limiter is not None
        own = self.world.apis.own.get(self.world.provider, {})
        credentials: Mapping[str, str] = {"token": TOKENS[self.world.provider], **own}
        client = Client(
            provider=self.provider,
            base_url=self.world.apis.url(self.world.provider),
            credentials=credentials,
            limiter=self._limiter,
            http=HTTP,
            connection=account.connection,
            clock=self.clock,
            random=self.random,
            transport=Wire(self.world.apis, self.clock, self.pulse, self.random),
        )
        self.clients.append(client)
        return client
