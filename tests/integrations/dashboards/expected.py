"""Knows what a dashboard has to show: asks the warehouse itself what each chart asks, and writes the answers as Superset does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg

from etl.superset.bundle import _title
from etl.superset.definitions import PAGES, Chart, Dashboard, read

DEFINITIONS = read()
FRESHNESS = ["connection", "whole", "complete_until", "proven", "proved_calls", "proved_at"]
A_PAGE = 20
"""The rows of a table that are shown at once."""

CLOCKED = "most_behind"
"""The metric that grows while one looks at it."""


def titles() -> dict[str, list[str]]:
    """Return the titles of each page's charts."""
    return {page: [_title(chart) for chart in charts(page)] for page in PAGES}


def charts(page: str) -> list[Chart]:
    return [chart for row in DEFINITIONS.dashboards[page].rows for chart in row.charts]


def numbers(session: psycopg.Connection) -> dict[str, str]:
    """Return what each big number has to say, but for the one that grows."""
    return {
        f"{page}: {chart.title}": written(_ask(session, page, chart)[0][0], _format(chart, chart.metric or ""))
        for page in PAGES
        for chart in charts(page)
        if chart.kind == "number" and chart.metric != CLOCKED
    }


def tables(session: psycopg.Connection) -> dict[str, list[list[str]]]:
    """Return the rows that each table has to show at first, sorted: which of two equal ones comes first is nobody's promise."""
    found = {}
    for page in PAGES:
        for chart in charts(page):
            if chart.kind in ("table", "rows", "freshness"):
                formats = [""] * len(chart.by) + [_format(chart, name) for name in chart.metrics]
                rows = _ask(session, page, chart)[:A_PAGE]
                found[f"{page}: {_title(chart)}"] = sorted(
                    [written(value, formats[place] if formats else "") for place, value in enumerate(row)] for row in rows
                )
    return found


def written(value: Any, d3_format: str) -> str:
    """Return a value as Superset shows it."""
    if value is None:
        return "N/A"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, str):
        return value
    if d3_format.endswith("%"):
        return f"{float(value):{d3_format}}"
    return f"{float(value):{d3_format.replace('d', '.0f') or ',.0f'}}"


def _format(chart: Chart, metric: str) -> str:
    return DEFINITIONS.datasets[chart.dataset].metrics[metric].format


def _ask(session: psycopg.Connection, page: str, chart: Chart) -> list[tuple[Any, ...]]:
    dataset = DEFINITIONS.datasets[chart.dataset]
    source = dataset.sql or f"SELECT * FROM masked.{chart.dataset}"
    metrics = [chart.metric] if chart.metric else chart.metrics
    shown = [*chart.by, *(dataset.metrics[name].sql for name in metrics)] or chart.columns or FRESHNESS
    held = {column.name for column in session.execute(f"SELECT * FROM ({source}) AS dataset LIMIT 0".encode()).description or ()}
    only = [chart.where or "true", *_filtered(DEFINITIONS.dashboards[page], held)]
    query = f"SELECT {', '.join(shown)} FROM ({source}) AS dataset WHERE {' AND '.join(only)}"
    if chart.by:
        query += f" GROUP BY {', '.join(chart.by)} ORDER BY {len(chart.by) + 1} DESC"
    return session.execute(query.encode()).fetchall()


def _filtered(dashboard: Dashboard, held: set[str]) -> list[str]:
    """Return the filters that are set when a page is opened; all calls are of the time that it shows."""
    return ["NOT is_test"] if "is_test" in dashboard.filters and "is_test" in held else []
