"""What `etl status` and `etl runs` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl.cli.output import say, show_json, warn
from etl.cli.rebuilding import zone_pending
from etl.cli.table import show_table
from etl.cli.time_line import show_time_lines
from etl.config import Settings
from etl.system import SystemClock
from etl.warehouse.reports import gaps, status, time_lines
from etl.warehouse.reports.gaps import Gap
from etl.warehouse.reports.remarks import remarks
from etl.warehouse.reports.time_lines import TimeLine
from etl.wiring import Invocation, expected, open_warehouse, require_warehouse, settings_of

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
    now = SystemClock().now()
    rows = [{**row, **expected(settings, row, now=now)} for row in rows]
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
                status.proof(row, now=now),
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
        say(f"{gap.connection}, stream {gap.stream}: {gaps.told(gap)}")
    for remark in remarks(row):
        (warn if remark.warns else say)(f"{row['connection']}: {remark.text}")
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
