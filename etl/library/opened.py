"""Syncs and audits into a warehouse that is open already: what the functions of the library and the other faces share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event

from etl.audit.lifecycle import audit_connection, repair_connection
from etl.config import ConnectionSettings, Settings
from etl.errors import UsageError
from etl.library.outcomes import AuditOutcome, Outcome, of_audit, of_sync
from etl.runs.port import Watcher
from etl.runs.sync import sync_connection
from etl.runs.terms import Trigger, Want
from etl.runs.watching import Silence
from etl.system import system_effects
from etl.wiring import Connector, Opened, on_each, surroundings


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

    stop, watcher = stop or Event(), watcher or Silence()
    effects, warehouse = system_effects(stop), Rehearsal if dry_run else PostgresWarehouse
    with surroundings(warehouse, opened, effects=effects, watcher=watcher, stop=stop, trigger=trigger) as given:
        connect = Connector(settings, chosen, effects=effects, book=given.warehouse.allowances)
        ended = on_each(lambda one: sync_connection(one, want=want, connect=connect, given=given), chosen, given=given)
    return list(map(of_sync, ended))


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

    stop, watcher = stop or Event(), watcher or Silence()
    effects, work = system_effects(stop), repair_connection if repair else audit_connection
    with surroundings(AuditedWarehouse, opened, effects=effects, watcher=watcher, stop=stop, trigger=trigger) as given:
        connect = Connector(settings, chosen, effects=effects, book=given.warehouse.allowances)
        ended = on_each(lambda one: work(one, connect=connect, given=given), chosen, given=given)
    return list(map(of_audit, ended))


def _instant(name: str, value: datetime | None) -> datetime | None:
    """Return an instant in UTC, as a plain datetime also where it was given as a class of somebody else's."""
    if value is None:
        return None
    if value.utcoffset() is None:
        raise UsageError(f"{name} has no time zone.", safe="Nothing was started.", hint="Give one: datetime(…, tzinfo=UTC).")
    utc = value.astimezone(UTC)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)
