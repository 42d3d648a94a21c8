"""What `etl status` and `etl runs` show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from etl.cli.output import say, show_json, warn
from etl.cli.rebuilding import zone_pending
from etl.cli.table import duration, show_table, shown
from etl.cli.time_line import show_time_lines
from etl.config import Settings
from etl.printable import number_of
from etl.reading.clocks import Apart
from etl.runs.failing import cannot_be_had
from etl.runs.streams import not_begun
from etl.runs.terms import Want
from etl.system import SystemClock
from etl.warehouse.reports import gaps, status, time_lines
from etl.warehouse.reports.gaps import Gap, Why
from etl.warehouse.reports.time_lines import TimeLine
from etl.wiring import Invocation, account, open_warehouse, require_warehouse, settings_of

RUN_COLUMNS = {
    "id": "run",
    "connection": "connection",
    "status": "status",
    "started_at": "started",
    "took": "took",
    "requests": "requests",
    "records_seen": "records",
    "inserted": "new",
    "updated": "changed",
    "rejected": "rejected",
    "late": "late",
    "error_code": "error",
}
SPARE = ("late", "requests", "took", "records", "rejected")
"""The columns that are left out first if the terminal is too narrow."""

NEAR = 0.8
"""Calls that come later than this share of the lookback lead to a warning."""

WHY = {
    Why.NOT_READ_YET: "no run has come so far; the next ones go on.",
    Why.NOT_REACHED: "the last run could not reach it; every run tries again.",
    Why.BELOW_HORIZON: "the provider's list ends above it; it can be had no more.",
}


def show_status(invocation: Invocation, *, as_json: bool) -> None:
    """Show how each connection stands, its gaps, and what its last run failed with."""
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        rows = status.connections(opened.database)
        streams = status.streams(opened.database)
        found = gaps.gaps(opened.database)
        lines = time_lines.time_lines(opened.database)
        remarks = _remarks(settings, status.pending(opened.database), {row["connection"] for row in rows})
    rows = [{**row, **_lateness(settings, row), **_beginning(settings, row)} for row in rows]
    if as_json:
        documents = [
            {**row, "streams": _streams(row, streams, found), "time_line": _stretches(row["connection"], lines)} for row in rows
        ]
        show_json({"connections": documents, "remarks": remarks})
        return
    if not rows:
        say("Nothing was synced yet. Run: etl sync")
        return
    show_table(
        (
            *("connection", "provider", "last run", "ended", "complete until", "lag"),
            *("calls", "open", "gaps", "rejects", "last proof"),
        ),
        [
            (
                row["connection"],
                row["provider"],
                row["last_status"],
                row["last_finished_at"],
                row["high_water_mark"],
                row["lag"],
                row["calls"],
                row["open_calls"],
                row["gaps"] or 0,
                row["rejects"],
                _proof(row),
            )
            for row in rows
        ],
        spare=("provider", "ended", "complete until", "rejects", "open"),
    )
    show_time_lines(lines)
    for row in rows:
        _remark(row, [gap for gap in found if gap.connection == row["connection"]])
    for remark in remarks:
        say(remark)


def _remarks(settings: Settings, pending: status.Row, synced: set[str]) -> list[str]:
    """Return what is left to be done in the warehouse as a whole."""
    remarks = []
    if new := [name for name in settings.connections if name not in synced]:
        remarks.append(f"Configured, and not synced yet: {', '.join(new)}. Run: etl sync {' '.join(new)}")
    if pending["zone"] != settings.warehouse.reporting_timezone:
        remarks.append(f"Days end at midnight {pending['zone']}: {zone_pending(settings.warehouse.reporting_timezone)}.")
    if pending["unfilled"]:
        remarks.append(
            f"Versions of calls in {', '.join(pending['unfilled'])} were kept before these had columns of their own for when "
            "they occurred, direction, agent, duration and cost. To fill them in: etl replay"
        )
    return remarks


def _remark(row: status.Row, found: list[Gap]) -> None:
    """Say what is worth a sentence about a connection."""
    for gap in found:
        say(f"{gap.connection}, stream {gap.stream}: {_told(gap)}")
    if row["not_begun"]:
        say(f"{row['connection']}: {row['not_begun']}.")
    if row["no_call_yet"]:
        say(f"{row['connection']}: the provider lists no call yet; once it lists one, this table says how far all was read.")
    if row["details_failing"]:
        say(f"{row['connection']}: {cannot_be_had(row['details_failing'])}")
    if row["rejects"] or row["drift"]:
        rejects = number_of(row["rejects"], "rejected record")
        drift = f"{number_of(row['drift'], 'departure')} from what the provider documents"
        both = ", ".join(words for words, count in ((rejects, row["rejects"]), (drift, row["drift"])) if count)
        say(f"{row['connection']}: {both}, see: etl rejects {row['connection']}")
    if row["max_lateness"] is not None:
        say(f"{row['connection']}: in the last 30 days a call appeared up to {duration(row['max_lateness'])} late.")
    if row["near_lookback"]:
        warn(
            f"{row['connection']}: that is close to the lookback of {duration(row['lookback'])}; what comes later still is "
            f"missed until an audit finds it. Raise connections.{row['connection']}.lookback."
        )
    if (apart := Apart.remembered(row["clocks"])) is not None:
        warn(f"{row['connection']}: {apart}. One of the two is wrong: set this machine's clock, or tell the provider.")
    if row["error_message"]:
        say(row["error_message"])


def show_runs(invocation: Invocation, connection: str | None, *, limit: int, as_json: bool) -> None:
    """Show the newest runs, newest first."""
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        rows = status.run_history(opened.database, connection, limit=limit)
    if not rows and connection is not None:
        settings.choose((connection,))  # raises if it is neither configured nor in the warehouse
    if as_json:
        show_json({"runs": rows})
        return
    if not rows:
        say("There were no runs yet. Run: etl sync")
        return
    timed = [{**row, "took": row["finished_at"] - row["started_at"] if row["finished_at"] else None} for row in rows]
    show_table(tuple(RUN_COLUMNS.values()), [tuple(row[name] for name in RUN_COLUMNS) for row in timed], spare=SPARE)


def _lateness(settings: Settings, row: status.Row) -> dict[str, Any]:
    """Return the lookback of a connection, and whether calls come so late that it is nearly too short."""
    connection = settings.connections.get(row["connection"])
    lookback = account(row["connection"], connection).lookback if connection is not None else None
    late = row["max_lateness"]
    return {"lookback": lookback, "near_lookback": bool(lookback and late and late > NEAR * lookback)}


def _beginning(settings: Settings, row: status.Row) -> dict[str, Any]:
    """Return why nothing of a connection is read yet (a start date in the future), and whether the provider lists no call yet."""
    connection = settings.connections.get(row["connection"])
    one = account(row["connection"], connection) if connection is not None else None
    future = not_begun(one, Want(), now=SystemClock().now()) if one is not None else None
    seen_empty = row["last_success"] is not None and row["fresh_until"] is None and not row["calls"] and not row["rejects"]
    return {"not_begun": future, "no_call_yet": seen_empty and future is None}


def _proof(row: status.Row) -> str | None:
    """Return how the last audit reads: what was held, and rejected, of what the provider counts, and how long ago."""
    if row["audited_at"] is None:
        return None
    ago = f"{_largest_unit(SystemClock().now() - row['audited_at'])} ago"
    if row["audit_provider_count"] is None:
        return f"{row['audit_verdict']}, {ago}"
    rejected = row["audit_known_count"] - row["audit_held_count"]
    beside = f"{rejected:,} rejected, " if rejected else ""
    counts = f"{row['audit_held_count']:,} of {number_of(row['audit_provider_count'], 'call')}, {beside}{ago}"
    return counts if row["audit_verdict"] in ("complete", "repaired") else f"{row['audit_verdict']}: {counts}"


def _largest_unit(age: timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return number_of(seconds // size, unit)
    return number_of(seconds, "second")


def _told(gap: Gap) -> str:
    start = f"from {shown(gap.start)}" if gap.start is not None else "from the beginning"
    return f"not read {start} to {shown(gap.end)}: {WHY[gap.why]}"


def _streams(row: Mapping[str, Any], streams: list[status.Row], found: list[Gap]) -> list[dict[str, Any]]:
    return [
        {
            "stream": stream["stream"],
            "high_water_mark": stream["high_water_mark"],
            "horizon": stream["horizon"],
            "closed_at": stream["closed_at"],
            "gaps": [
                {"start": gap.start, "end": gap.end, "why": gap.why, "closable": gap.closable}
                for gap in found
                if (gap.connection, gap.stream) == (stream["connection"], stream["stream"])
            ],
        }
        for stream in streams
        if stream["connection"] == row["connection"]
    ]


def _stretches(connection: str, lines: list[TimeLine]) -> list[dict[str, Any]]:
    return [
        {"part": stretch.part, "start": stretch.start, "end": stretch.end}
        for line in lines
        if line.connection == connection
        for stretch in line.stretches
    ]
