"""A real sync from the server of the kit: the real client and reader, a warehouse in memory, a clock that waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event

from etl.http.accounts import Accounts, NoBook
from etl.http.client import Client, HttpOptions
from etl.http.limits import Limiter
from etl.provider import ClientCredentials, Provider
from etl.runs.account import Account
from etl.runs.lifecycle import Surroundings
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, Trigger, Want
from etl.runs.watching import Silence
from etl.system import SystemThreads
from etl.testing.memory.kept import Shelf
from etl.testing.memory.warehouse import MemoryWarehouse
from etl.testing.server import TOKEN_PATH, Server

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LINE = "line"
HTTP = HttpOptions(
    timeout=timedelta(seconds=10),
    max_attempts=8,
    backoff=timedelta(seconds=0.5),
    max_backoff=timedelta(seconds=60),
    max_response_bytes=1 << 24,
)


@dataclass
class Clock:
    """Stands still but for who sleeps, which takes no time."""

    instant: datetime = NOW
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        """See `etl.effects.Clock`."""
        return self.instant

    def sleep(self, seconds: float) -> None:
        """See `etl.effects.Clock`."""
        with self._lock:
            self.instant += timedelta(seconds=max(seconds, 0))


@dataclass
class World:
    """One account of a provider, and the warehouse that its calls are copied into."""

    provider: Provider
    server: Server
    clock: Clock
    per_page: int | None
    own: dict[str, str]
    warehouse: MemoryWarehouse = field(default_factory=MemoryWarehouse)
    _limiter: Limiter | None = None

    def sync(self) -> Outcome:
        """Sync once."""
        given = Surroundings(
            warehouse=self.warehouse,
            clock=self.clock,
            threads=SystemThreads(),
            watcher=Silence(),
            stop=Event(),
            trigger=Trigger.LIBRARY,
        )
        account = Account(
            connection=LINE,
            provider=self.provider,
            lookback=self.provider.lookback,
            retention=self.provider.retention,
            per_page=self.per_page,
            own=self.own,
        )
        return sync_connection(account, want=Want(), connect=self, given=given)

    # etl.runs.lifecycle.Connect

    @contextmanager
    def reserved(self, account: Account) -> Iterator[None]:
        """See `Connect.reserved`."""
        accounts = Accounts(NoBook(), clock=self.clock, random=Random(0))  # noqa: S311 - it spreads waits, and is no secret
        with accounts.limiter(self.provider.name, "made-up", limits=self.provider.limits, daily=None) as self._limiter:
            yield

    def __call__(self, account: Account) -> Client:
        """See `Connect`."""
        if self._limiter is None:
            raise RuntimeError("the account is not reserved")
        provider, login = self.provider, self.provider.login
        if isinstance(login, ClientCredentials):
            provider = replace(provider, login=replace(login, address=TOKEN_PATH))
        return Client(
            provider=provider,
            base_url=self.server.url,
            credentials={setting: f"made-up-{setting}" for setting in (*provider.sent_settings, *self.own)},
            limiter=self._limiter,
            http=HTTP,
            connection=account.connection,
            clock=self.clock,
            random=Random(0),  # noqa: S311 - as above
        )

    # What is held

    @property
    def shelf(self) -> Shelf:
        """Everything that is held."""
        kept = self.warehouse.connections.get(LINE)
        return kept.shelf if kept is not None else Shelf()

    @property
    def held(self) -> set[str]:
        """The ids of the calls that are held."""
        return {entry.call.call_id for entry in self.warehouse.entries(LINE)}

    def missing(self) -> set[str]:
        """Return the ids of the calls that the provider lists and that are not held."""
        return {made.call_id for made in self.server.calls} - self.held

    def lost(self) -> set[str]:
        """Return the missing ones of those that were claimed to be read: what may never happen."""
        covered = [state.coverage for state in self.shelf.states.values()]
        absent = self.missing()
        return {made.call_id for made in self.server.calls if made.call_id in absent and any(made.at in one for one in covered)}
