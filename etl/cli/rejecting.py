"""What `etl rejects` shows: the records that could not become calls, and how records depart from the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from etl import providers
from etl.cli.output import say, show_json
from etl.cli.table import show_table
from etl.errors import EtlError, UsageError
from etl.records.misfit import misfit
from etl.warehouse.reports import rejects
from etl.warehouse.reports.status import Row
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of

COLUMNS = {
    "connection": "connection",
    "stream": "stream",
    "call_id": "call",
    "reason": "reason",
    "sightings": "seen",
    "first_seen_at": "first seen",
    "last_seen_at": "last seen",
}
DEPARTURE_COLUMNS = {
    "connection": "connection",
    "path": "path",
    "kind": "kind",
    "sample": "such as",
    "count": "found",
    "first_seen_at": "first seen",
    "last_seen_at": "last seen",
}


def show_rejects(invocation: Invocation, connection: str | None, *, limit: int, raw: bool, as_json: bool) -> None:
    """Show open rejects, the records themselves only if asked for, and the departures. Raises UsageError, WarehouseError."""
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        configured = connection is None or connection in settings.connections
        if connection is not None and not configured and not rejects.is_known(opened.database, connection):
            raise UsageError(f"There is no connection {connection!r}.", hint="`etl status` shows those that were synced.")
        count, found = rejects.open_rejects(opened.database, connection, limit=limit)
        departures = rejects.departures(opened.database, connection)
    hidden = {"provider"} if raw else {"provider", "raw_text"}
    shown = [{name: value for name, value in row.items() if name not in hidden} | _why(row) for row in found]
    if as_json:
        show_json({"open_rejects": count, "rejects": shown, "drift": departures})
        return
    _show_rejects(count, shown)
    _show_departures(departures)


def _show_rejects(count: int, found: Sequence[Row]) -> None:
    if not count:
        say("No record waits as a reject.")
        return
    show_table(
        tuple(COLUMNS.values()),
        [tuple(row[name] for name in COLUMNS) for row in found],
        title="Rejected records",
        spare=("first seen", "stream"),
    )
    if count > len(found):
        say(f"… and {count - len(found):,} more: etl rejects --limit N")
    alike = Counter((row["connection"], row["reason"], row["stood"], row["accepted"]) for row in found)
    for (connection, reason, stood, accepted), number in alike.items():
        say(f"{connection}, {reason} ({number:,}): what stood there: {stood}; accepted: {accepted}.")
    for row in found:
        if "raw_text" in row:
            say(f"{row['connection']}, {row['record_key']}: {row['raw_text']}")


def _why(row: Row) -> dict[str, str | None]:
    """Return what stood in a reject's unfit place and what is accepted there; None where its provider is not installed."""
    try:
        found = misfit(providers.get(row["provider"]), row["raw_text"].encode(), row["reason"])
    except EtlError:
        return {"stood": None, "accepted": None}
    return {"stood": found.stood, "accepted": found.accepted}


def _show_departures(departures: list[Row]) -> None:
    if not departures:
        say("Nothing departs from what the providers document.")
        return
    rows = [tuple(row[name] for name in DEPARTURE_COLUMNS) for row in departures]
    show_table(
        tuple(DEPARTURE_COLUMNS.values()),
        rows,
        title="Departures from what the providers document",
        spare=("first seen", "last seen"),
    )
