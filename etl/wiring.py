"""
Puts the packages together: turns settings into accounts, clients and an open warehouse, and gives runs what they need.

The faces call it: the command line and the library.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from etl.config import ConnectionSettings, Settings, load
from etl.effects import Effects
from etl.errors import WarehouseError
from etl.provider import Limit, Provider
from etl.runs.account import Account
from etl.runs.allowances import AllowanceBook
from etl.runs.lifecycle import Surroundings
from etl.runs.port import RunRegister, Watcher
from etl.runs.terms import Trigger, Want
from etl.system import SystemThreads

if TYPE_CHECKING:
    from etl.alerts.watch import Watch
    from etl.http.client import Client
    from etl.http.limits import Limiter
    from etl.warehouse.database import Database
    from etl.warehouse.locks import Locks

Warehouse = TypeVar("Warehouse", bound=RunRegister)
Result = TypeVar("Result")

Invocation = tuple[Path | None, bool]
"""The options before the command: the configuration's path, and whether to log more."""


CONNECTIONS_AT_ONCE = 8
"""The maximum number of connections synced at once; each waits for its provider most of the time."""

LOOK_AT_WAITS = timedelta(seconds=1)
"""How often it is asked, while sessions work, whether one waits for a lock; less than `etl migrate` waits for one."""


def settings_of(invocation: Invocation) -> Settings:
    """Load the configuration and set up logging. Raises UsageError."""
    from etl.log import configure

    path, verbose = invocation
    settings = load(path, os.environ)
    configure(secrets=settings.secrets, level="info" if verbose else "warning")
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """The versions before and after, and how many tables were newly spread over a cluster; None where there is none."""

    before: str | None
    after: str
    spread: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open warehouse. `conninfo` is its address for psql, and `bin_dir` the folder of the embedded server's own psql."""

    database: Database
    conninfo: str
    bin_dir: Path | None = None

    def is_empty(self) -> bool:
        """Whether the database holds no warehouse yet."""
        from etl.warehouse import schema

        return schema.is_empty(self.database)

    def ensure_schema(self, settings: Settings) -> bool:
        """Migrate an empty warehouse and return True; raise WarehouseError if its schema is older or newer."""
        from etl.warehouse import schema

        if not schema.is_empty(self.database):
            schema.require_newest(self.database)
            return False
        self.database.check_server()
        self.migrate(settings)
        return True

    def migrate(self, settings: Settings) -> Migrated:
        """Bring the schema to the newest version and, where that is asked for or was done before, spread its new tables."""
        from etl.warehouse import schema
        from etl.warehouse.distributing import distribute, is_distributed, require_citus

        if settings.warehouse.distributed:
            require_citus(self.database)
        before, after = schema.migrate(self.database)
        if before is None:
            self.set_reporting_timezone(settings)
        wanted = settings.warehouse.distributed or is_distributed(self.database)
        # A newer program knows tables that this one does not.
        spread = distribute(self.database) if wanted and after == schema.head() else None
        return Migrated(before=before, after=after, spread=spread)

    def set_reporting_timezone(self, settings: Settings) -> None:
        """Set the configured time zone, whose midnight ends a day; the warehouse must be empty."""
        from etl.warehouse.schema import set_reporting_timezone

        set_reporting_timezone(self.database, settings.warehouse.reporting_timezone)


@contextmanager
def open_warehouse(settings: Settings, *, writes: bool = False, at_once: int = CONNECTIONS_AT_ONCE) -> Iterator[Opened]:
    """
    Open the configured database, or start (or join) the embedded server, for so many connections at once. Raises WarehouseError.

    Who writes says so, and is refused behind a proxy that shares sessions out, before anything is set or written through it, and
    where persons were erased with another key than the configured one.
    """
    from etl.warehouse.database import Database
    from etl.warehouse.privacy.erasures import check_key

    wanted = settings.warehouse
    sessions = 3 * at_once + 2  # each connection may load a page, look something up and make roll-ups at once
    if wanted.url is not None:
        url = wanted.url.get_secret_value()
        with Database(url, sessions=sessions, erasure_key=erasure_key_of(settings)) as database:
            if writes:
                database.refuse_shared_sessions()
                check_key(database)
            with _waits_are_seen(database):
                yield Opened(database=database, conninfo=database.url.replace("postgresql+psycopg://", "postgresql://", 1))
        return
    from etl import embedded

    with (
        embedded.server(data_dir=wanted.data_dir, bin_dir=wanted.bin_dir, run_as=wanted.run_as) as server,
        Database(
            server.url,
            sessions=sessions,
            called=f"the embedded server in {server.data_dir}",
            erasure_key=erasure_key_of(settings),
        ) as database,
        _waits_are_seen(database),
    ):
        if writes:
            check_key(database)
        yield Opened(database=database, conninfo=server.conninfo, bin_dir=server.bin_dir)


def erasure_key_of(settings: Settings) -> bytes | None:
    """Return the key of erasures, if one is configured."""
    key = settings.warehouse.erasure_key
    return key.get_secret_value().encode() if key else None


@contextmanager
def _waits_are_seen(database: Database) -> Iterator[None]:
    end = SystemThreads().repeat("waits", database.look_at_waits, every=LOOK_AT_WAITS)
    try:
        yield
    finally:
        end()


def require_warehouse(opened: Opened) -> None:
    """Raise WarehouseError unless the warehouse has the schema version that this program needs."""
    from etl.warehouse.schema import require_newest

    try:
        require_newest(opened.database)
    except WarehouseError as error:
        if not error.hint:
            error.hint = "Run: etl sync"
        raise


def account(name: str, connection: ConnectionSettings) -> Account:
    """Resolve a connection's settings against its provider's facts."""
    from etl import providers

    provider = providers.get(connection.provider)
    return Account(
        connection=name,
        provider=provider,
        lookback=connection.lookback or provider.lookback,
        start_date=connection.start_date,
        retention=connection.retention or provider.retention,
        per_page=connection.per_page,
        max_delete_share=connection.max_delete_share,
        agents=connection.agents,
        organization_id=connection.organization_id,
        currency=connection.currency,
        details=connection.details,
        max_open_age=connection.max_open_age,
        erase_calls_after=connection.erase_calls_after,
        erase_words_after=connection.erase_transcripts_after,
        own={
            setting.name: connection.own[setting.name].get_secret_value()
            for setting in provider.own
            if not setting.secret and setting.name in connection.own
        },
    )


NEAR = 0.8
"""Calls that come later than this share of the lookback lead to a warning."""


def expected(settings: Settings, row: Mapping[str, Any], *, now: datetime) -> dict[str, Any]:
    """
    Return what the configuration adds to how a connection stands (a row of `etl.warehouse.reports.status.connections`).

    Its lookback, and whether calls come so late that this is nearly too short; why nothing is read yet (a start date in the
    future), and whether the provider lists no call yet.
    """
    from etl.runs.streams import not_begun

    connection = settings.connections.get(row["connection"])
    one = account(row["connection"], connection) if connection is not None else None
    lookback, late = one.lookback if one is not None else None, row["max_lateness"]
    future = not_begun(one, Want(), now=now) if one is not None else None
    seen_empty = row["last_success"] is not None and row["fresh_until"] is None and not row["calls"] and not row["rejects"]
    return {
        "lookback": lookback,
        "near_lookback": bool(lookback and late and late > NEAR * lookback),
        "not_begun": future,
        "no_call_yet": seen_empty and future is None,
    }


@contextmanager
def surroundings(
    warehouse: Callable[[Database, Locks], Warehouse],
    opened: Opened,
    *,
    effects: Effects,
    watcher: Watcher,
    stop: Event,
    trigger: Trigger,
) -> Iterator[Surroundings[Warehouse]]:
    """Give runs what they need, with `warehouse` built for their kind; their locks are released when the block ends."""
    from etl.warehouse.locks import Locks

    with Locks(opened.database, effects.threads) as locks:
        yield Surroundings(
            warehouse=warehouse(opened.database, locks),
            clock=effects.clock,
            threads=effects.threads,
            watcher=watcher,
            stop=stop,
            trigger=trigger,
        )


@contextmanager
def kept_allowances(opened: Opened, *, effects: Effects) -> Iterator[AllowanceBook]:
    """Give the warehouse's own book of request allowances, for what is no run; what was taken is given back with the block."""
    from etl.warehouse.allowances import Allowances
    from etl.warehouse.locks import Locks

    with Locks(opened.database, effects.threads) as locks:
        yield Allowances(opened.database, locks)


def watch_of(
    settings: Settings, database: Database, *, due_after: Callable[[str, datetime], datetime], grace: timedelta = timedelta()
) -> Watch:
    """Return what tells somebody when a connection needs it; see `Watch`."""
    from etl.alerts.watch import Watch
    from etl.http.hook import WebHook
    from etl.warehouse.alerts import Alerts

    notify = settings.notify
    return Watch(
        book=Alerts(database),
        connections=settings.connections,
        due_after=due_after,
        alert_after=notify.alert_after,
        hook=WebHook(notify.url.get_secret_value()) if notify.url else None,
        heartbeat=WebHook(notify.heartbeat_url.get_secret_value()) if notify.heartbeat_url else None,
        grace=grace,
    )


def no_book() -> AllowanceBook:
    """Return a book of request allowances for where there is no warehouse: nothing is known, and nothing is kept."""
    from etl.http.accounts import NoBook

    return NoBook()


def on_each(
    work: Callable[[Account], Result], chosen: Mapping[str, ConnectionSettings], *, given: Surroundings[Any]
) -> list[Result]:
    """
    Do `work` for each chosen connection, several at once, and return the results in the same order.

    Where this thread is interrupted meanwhile, as by Ctrl-C in a program that handles no signals, all of them are stopped.
    """
    accounts: Sequence[Account] = [account(name, connection) for name, connection in chosen.items()]
    with given.threads.pool("connection", min(CONNECTIONS_AT_ONCE, len(accounts))) as threads:
        try:
            return list(threads.map(work, accounts))
        except Exception:
            raise
        except BaseException:
            given.stop.set()  # the end of the block waits for the others
            raise


def limits_of(connection: ConnectionSettings, provider: Provider) -> tuple[Limit, ...]:
    """Return the limits that all hold for a connection at once, besides its budget for the UTC day."""
    daily = connection.daily_requests
    limits = (connection.rate_limit,) if connection.rate_limit else provider.limits
    by_day = (Limit(requests=daily, per=timedelta(days=1)),) if daily is not None and provider.any_day else ()
    return (*limits, *by_day)


class Connector:
    """
    Opens the clients of chosen connections (`etl.runs.lifecycle.Connect`).

    Connections with the same provider and token share one limiter, so that together they keep to one allowance; `book` keeps it.
    `waited` is told for how many seconds a request of a connection was held back for it.
    """

    def __init__(
        self,
        settings: Settings,
        chosen: Mapping[str, ConnectionSettings],
        *,
        effects: Effects,
        book: AllowanceBook,
        waited: Callable[[str, float], object] = lambda _, __: None,
    ) -> None:
        from etl.http.accounts import Accounts

        self._settings = settings
        self._chosen = chosen
        self._effects = effects
        self._accounts = Accounts(book, clock=effects.clock, random=effects.random, waited=waited)
        self._limiters: dict[str, Limiter] = {}

    @contextmanager
    def reserved(self, account: Account) -> Iterator[None]:
        """See `Connect.reserved`."""
        connection, provider = self._chosen[account.connection], account.provider
        token = _token(connection)
        limits, daily = limits_of(connection, provider), connection.daily_requests
        with self._accounts.limiter(provider.name, token, limits=limits, daily=daily) as limiter:
            self._limiters[account.connection] = limiter
            try:
                yield
            finally:
                del self._limiters[account.connection]

    def account_of(self, account: Account) -> str:
        """Return what the connections of one account at their provider have in common. Raises WarehouseError."""
        return self._accounts.account(account.provider.name, _token(self._chosen[account.connection]))

    def spent(self, account: Account) -> int:
        """Return how many requests of the UTC day are spent of a reserved account."""
        return self._limiters[account.connection].standing().requests

    def __call__(self, account: Account) -> Client:
        """See `Connect`."""
        from etl.http.client import Client, HttpOptions

        http, provider, connection = self._settings.http, account.provider, self._chosen[account.connection]
        given = {setting: connection.given(setting) for setting in provider.sent_settings}
        return Client(
            provider=provider,
            base_url=connection.base_url or provider.base_url,
            credentials={setting: value for setting, value in given.items() if value is not None},
            limiter=self._limiters[account.connection],
            http=HttpOptions(
                timeout=timedelta(seconds=http.timeout),
                max_attempts=http.max_attempts,
                backoff=timedelta(seconds=http.backoff),
                max_backoff=timedelta(seconds=http.max_backoff),
                max_response_bytes=http.max_response_mb * 2**20,
            ),
            connection=account.connection,
            clock=self._effects.clock,
            random=self._effects.random,
            allow_http=connection.allow_http,
        )


def _token(connection: ConnectionSettings) -> str:
    return connection.token.get_secret_value() if connection.token else ""
