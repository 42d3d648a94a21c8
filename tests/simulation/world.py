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

LIED = 0.3
"""The share of the requests that what stands on the way answers itself."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HTTP = HttpOptions(
    timeout=timedelta(seconds=30),
    max_attempts=8,
    backoff=timedelta(seconds=0.5),
    max_backoff=timedelta(seconds=60),
    max_response_bytes=1 << 22,
)

LIMITS = {provider: [quota for quota in quotas if quota.seconds < 86_400] for provider, quotas in TRUE_LIMITS.items()}
"""What the program has to keep by itself. A day's allowance it cannot know: the user names it."""


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
    world: World
    answers: int = 0
    before: dict[str, tuple[Reply, Damage, str]] = field(default_factory=dict)  # the last answer from each path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and let the answer meet its fault."""
        self.pulse.beat()
        self.apis.history.advance(timedelta(milliseconds=self.random.randint(1, 150)))
        target = request.url.raw_path.decode("ascii")
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply, damage, dated = self._answered(request.method, target, headers)
        self.apis.history.advance(timedelta(milliseconds=self.random.randint(1, 150), seconds=damage.delay))
        self.pulse.beat()
        self.answers += 1
        if damage.cut == -1:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        given = {"Date": dated, "Content-Length": str(len(reply.body)), **reply.headers}
        return httpx.Response(reply.status, headers=given, stream=_Stream(reply, damage))

    def _answered(self, method: str, target: str, headers: Mapping[str, str]) -> tuple[Reply, Damage, str]:
        """Ask the APIs, or find what was answered before, where something on the way does."""
        before, kept = self.before, self.world.kept
        path = target.partition("?")[0]
        found = kept.get(target) if self.world.way == "cached" else before.get(path) if self.world.way == "again" else None
        if found is not None and self.random.random() < LIED:
            return found
        given = (*self.apis.answer(method=method, target=target, headers=headers), to_http_date(self.apis.history.micros))
        before[path] = given
        if given[0].status == httpx.codes.OK and given[1] == Damage():
            kept[target] = given
        return given


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
    way: str = ""  # what stands on the way to the APIs: `cached`, `again` (see `tests.simulation.story`)
    kept: dict[str, tuple[Reply, Damage, str]] = field(default_factory=dict)  # the last good answers, by what was asked for
    apis: Apis = field(init=False)

    def __post_init__(self) -> None:
        self.apis = Apis(
            self.history,
            limits=LIMITS if self.limited else {},
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
        credentials = {"token": TOKENS[self.world.provider], **account.own}
        client = Client(
            provider=self.provider,
            base_url=self.world.apis.url(self.world.provider),
            credentials=credentials,
            limiter=self._limiter,
            http=HTTP,
            connection=account.connection,
            clock=self.clock,
            random=self.random,
            transport=Wire(self.world.apis, self.clock, self.pulse, self.random, self.world),
        )
        self.clients.append(client)
        return client
