"""Knows what `etl status` and `etl runs` show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl.cli.output import say, show_json, show_table, shown
from etl.cli.wiring import Invocation, open_warehouse, require_warehouse, settings_of
from etl.warehouse import report

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


def show_status(invocation: Invocation, *, as_json: bool) -> None:
    """Show how each connection stands, its gaps, and what its last run failed with."""
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        rows = report.connections(opened.database)
        streams = report.streams(opened.database)
    if as_json:
        show_json({"connections": [{**row, "streams": _streams(row, streams)} for row in rows]})
        return
    if not rows:
        say("Nothing was synced yet. Run: etl sync")
        return
    show_table(
        ("connection", "provider", "last run", "ended", "complete until", "lag", "calls", "open", "gaps", "rejects"),
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
                (row["gaps"] or 0) + (row["unclosable_gaps"] or 0),
                row["rejects"],
            )
            for row in rows
        ],
    )
    for row in rows:
        for stream in _streams(row, streams):
            for gap in stream["gaps"]:
                say(f"{row['connection']}, stream {stream['stream']}: not read from {shown(gap['start'])} to {shown(gap['end'])}")
        if row["error_message"]:
            named = row["connection"] in row["error_message"]
            say(row["error_message"] if named else f"{row['connection']}: {row['error_message']}")


def show_runs(invocation: Invocation, connection: str | None, *, limit: int, as_json: bool) -> None:
    """Show the newest runs, newest first."""
    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        rows = report.run_history(opened.database, connection, limit=limit)
    if not rows and connection is not None:
        settings.choose((connection,))  # raises where it is neither configured nor known from earlier
    if as_json:
        show_json({"runs": rows})
        return
    if not rows:
        say("There were no runs yet. Run: etl sync")
        return
    timed = [{**row, "took": row["finished_at"] - row["started_at"] if row["finished_at"] else None} for row in rows]
    show_table(tuple(RUN_COLUMNS.values()), [tuple(row[name] for name in RUN_COLUMNS) for row in timed])


def _streams(row: Mapping[str, Any], streams: list[report.Row]) -> list[dict[str, Any]]:
    return [
        {
            "stream": stream["stream"],
            "high_water_mark": stream["high_water_mark"],
            "horizon": stream["horizon"],
            "closed_at": stream["closed_at"],
            "gaps": [{"start": start, "end": end} for start, end in zip(stream["gap_starts"], stream["gap_ends"], strict=True)],
        }
        for stream in streams
        if stream["connection"] == row["connection"]
    ]
