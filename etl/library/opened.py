"""Syncs and audits into a warehouse that is open already: what the functions of the library and the other faces share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from etl.audit.lifecycle import audit_connection, repair_connection
from etl.config import ConnectionSettings, Settings
from etl.errors import UsageError
from etl.library.outcomes import AuditOutcome, Outcome, of_audit, of_sync
from etl.runs.account import Account
from etl.runs.lifecycle import Connect, Surroundings
from etl.runs.port import Watcher
from etl.runs.sync import sync_connection
from etl.runs.terms import Trigger, Want
from etl.runs.watching import Silence
from etl.system import system_effects
from etl.wiring import Connector, Opened, on_each, surroundings

if TYPE_CHECKING:
    from etl.warehouse.audits import AuditedWarehouse
    from etl.warehouse.database import Database
    from etl.warehouse.locks import Locks
    from etl.warehouse.postgres import PostgresWarehouse

Warehouse = TypeVar("Warehouse", bound="PostgresWarehouse")
Result = TypeVar("Result")


def wanted(*, full: bool, since: datetime | None, until: datetime | None, option: str = "") -> Want:
    """Return what a sync is to read again. Raises UsageError; `option` stands before the names of arguments in its text."""
    since, until = (_instant(f"{option}{name}", value) for name, value in (("since", since), ("until", until)))
    if full and (since or until):
        raise UsageError(
            f"{option}full reads everything; {option}since and {option}until read one range.",
            safe="Nothing was started.",
            hint="Give one or the other.",
        )
    if since and until and since >= until:
        raise UsageError(
            f"{option}since must be before {option}until.",
            safe="Nothing was started.",
            hint=f"Exchange the two, or leave {option}until out: until now.",
        )
    return Want(full=full, since=since, until=until)


def sync_opened(
    settings: Settings,
    chosen: Mapping[str, ConnectionSettings],
    opened: Opened,
    *,
    want: Want,
    trigger: Trigger,
    stop: Event | None = None,
    watcher: Watcher | None = None,
    dry_run: bool = False,
) -> list[Outcome]:
    """Sync the chosen connections into an open warehouse. Raises nothing but programming errors."""
    from etl.warehouse.postgres import PostgresWarehouse
    from etl.warehouse.rehearsal import Rehearsal

    def work(one: Account, connect: Connect, given: Surroundings[PostgresWarehouse]) -> Outcome:
        return of_sync(sync_connection(one, want=want, connect=connect, given=given))

    warehouse = Rehearsal if dry_run else PostgresWarehouse
    return _each(work, warehouse, settings, chosen, opened, trigger=trigger, stop=stop, watcher=watcher)


def audit_opened(
    settings: Settings,
    chosen: Mapping[str, ConnectionSettings],
    opened: Opened,
    *,
    repair: bool,
    trigger: Trigger,
    stop: Event | None = None,
    watcher: Watcher | None = None,
) -> list[AuditOutcome]:
    """Audit the chosen connections in an open warehouse. Raises nothing but programming errors."""
    from etl.warehouse.audits import AuditedWarehouse

    audit = repair_connection if repair else audit_connection

    def work(one: Account, connect: Connect, given: Surroundings[AuditedWarehouse]) -> AuditOutcome:
        return of_audit(audit(one, connect=connect, given=given))

    return _each(work, AuditedWarehouse, settings, chosen, opened, trigger=trigger, stop=stop, watcher=watcher)


def _each(
    work: Callable[[Account, Connect, Surroundings[Warehouse]], Result],
    warehouse: Callable[[Database, Locks], Warehouse],
    settings: Settings,
    chosen: Mapping[str, ConnectionSettings],
    opened: Opened,
    *,
    trigger: Trigger,
    stop: Event | None,
    watcher: Watcher | None,
) -> list[Result]:
    """Do the work for each chosen connection, with what runs are given; return the results in their order."""
    stop = stop or Event()
    effects = system_effects(stop)
    with surroundings(warehouse, opened, effects=effects, watcher=watcher or Silence(), stop=stop, trigger=trigger) as given:
        connect = Connector(settings, chosen, effects=effects, book=given.warehouse.allowances)
        return on_each(lambda one: work(one, connect, given), chosen, given=given)


def _instant(name: str, value: datetime | None) -> datetime | None:
    """Return an instant in UTC, as a plain datetime also where it was given as a class of somebody else's."""
    if value is None:
        return None
    if value.utcoffset() is None:
        raise UsageError(f"{name} has no time zone.", safe="Nothing was started.", hint="Give one: datetime(…, tzinfo=UTC).")
    utc = value.astimezone(UTC)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)
