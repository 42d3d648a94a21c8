"""
Knows what is asked of the warehouse: each chart of the dashboards as Superset asks it, each query that the pages of docs show.

Superset puts a dataset's own query into a subquery, filters it by time and by the defaults of the page, groups, orders and
cuts; where a chart is limited to its largest series, it asks for these in a subquery beside that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from etl.superset.charts import params
from etl.superset.definitions import Chart, Dashboard, Dataset, Definitions, read

_SERIES_KINDS = ("bars", "shares", "lines")
_DAYS = re.compile(r'DATEADD\(DATETIME\("today"\), -([0-9]+), day\) : DATEADD\(DATETIME\("today"\), 1, day\)')
"""The range of a page, today included."""

_WITHOUT_TESTS = ("calls_daily", "agent_daily", "calls_hourly", "talk_time_daily", "call_facts")
"""The datasets with a column `is_test`, which the pages filter by."""

_BLOCK = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^(?:#+ +(.+)|\*\*(.+?)\*\*.*)$")
_QUERY = re.compile(r"(?i)(--.*\n\s*)*(select|with|table)\b")
"""What is asked; a statement that is no query, such as a documented CREATE INDEX, is not."""

_INDEX = re.compile(r"(?i)create index (\w+) ")
_NAMES = (("'telephony'", "'krosai-main'"), ("'pairing'", "'tuple-main'"), ("'+14155551050'", "'{number}'"))
"""What the pages name, and what the made-up calls have in its place."""

_PUBLIC = (
    ("masked.", "public."),
    ("coalesce(agent_id, agent_key)", "agent_id"),
    ("person_a_key", "person_a"),
    ("person_b_key", "person_b"),
    ("person_key", "person"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query: where it stands (`dashboard: calls`, `docs/metrics.md`), what it is called there, and its SQL."""

    page: str
    title: str
    sql: str
    indexes: tuple[str, ...] = ()
    """The statements that make what the page says to make first."""

    @property
    def is_chart(self) -> bool:
        """Whether a dashboard asks it, and the goal for dashboards is for it."""
        return self.page.startswith("dashboard")

    @property
    def is_of_pairs(self) -> bool:
        """Whether it reads pairs, for which the goal is another one."""
        return "pair_weekly" in self.sql

    def unmasked(self) -> str:
        """Return the same query over the views that the owner reads."""
        sql = self.sql
        for masked, public in _PUBLIC:
            sql = sql.replace(masked, public)
        return sql

    def of_made_up(self, number: str) -> str:
        """Return the same query of the connections that are made up (`synthetic.py`), and of a number that called there."""
        sql = self.sql
        for named, made_up in _NAMES:
            sql = sql.replace(named, made_up.format(number=number))
        return sql

    def without_indexes(self) -> list[str]:
        """Return the statements that remove what `indexes` made."""
        return [f"DROP INDEX {found[1]}" for one in self.indexes if (found := _INDEX.match(one))]


def charts(today: date) -> Iterator[Question]:
    """Yield what each chart of the dashboards asks of the schema `masked`, each query once."""
    definitions = read()
    asked: set[str] = set()
    for page, dashboard in definitions.dashboards.items():
        for chart in (chart for row in dashboard.rows for chart in row.charts):
            sql = _asked_by(chart, dashboard, definitions, today)
            if sql not in asked:
                asked.add(sql)
                yield Question(page=f"dashboard: {page}", title=chart.title or "Up to when is this complete?", sql=sql)


def _asked_by(chart: Chart, dashboard: Dashboard, definitions: Definitions, today: date) -> str:
    dataset = definitions.datasets[chart.dataset]
    source = f"({dataset.sql.strip()}) AS virtual" if dataset.sql else f"masked.{chart.dataset}"
    form = params(chart, dataset)
    where = _where(chart, dataset, dashboard, today)
    names = [*chart.metrics, *([chart.metric] if chart.metric else [])]
    if not names:
        columns = ", ".join(chart.columns) or "connection, whole, complete_until, proven, proved_calls, proved_at"
        return f"SELECT {columns} FROM {source} {where} ORDER BY connection LIMIT {chart.limit}"  # noqa: S608 - ours
    metrics = [f"{dataset.metrics[name].sql} AS {name}" for name in names]
    keys = [*chart.by, *(name for name in (chart.x, chart.y) if name)]
    joined = ""
    if chart.kind in _SERIES_KINDS:
        if chart.by and form["limit"]:
            kept = ", ".join(f"{name} AS {name}__" for name in chart.by)
            told = " AND ".join(f"{name} = {name}__" for name in chart.by)
            joined = (
                f"JOIN (SELECT {kept}, {dataset.metrics[names[0]].sql} AS mme_inner__ FROM {source} {where} "  # noqa: S608
                f"GROUP BY {', '.join(chart.by)} ORDER BY mme_inner__ DESC LIMIT {form['limit']}) AS series_limit ON {told}"
            )
        keys.append(f"date_trunc('{chart.grain}', {dataset.time})")
    shown = ", ".join([*keys, *metrics])
    grouped = f"GROUP BY {', '.join(keys)} ORDER BY {names[0]} DESC" if keys else ""
    return f"SELECT {shown} FROM {source} {joined} {where} {grouped} LIMIT {form['row_limit']}"  # noqa: S608


def _where(chart: Chart, dataset: Dataset, dashboard: Dashboard, today: date) -> str:
    given = []
    if dataset.time:
        (days,) = _DAYS.findall(dashboard.time_range)
        given = [
            f"{dataset.time} >= {_at(dataset.time, today - timedelta(days=int(days)))}",
            f"{dataset.time} < {_at(dataset.time, today + timedelta(days=1))}",
        ]
    if chart.where:
        given.append(f"({chart.where})")
    if "is_test" in dashboard.filters and chart.dataset in _WITHOUT_TESTS:
        given.append("is_test IN (false)")
    return f"WHERE {' AND '.join(given)}" if given else ""


def _at(column: str, day: date) -> str:
    """Write a day as Superset does for a column of this type."""
    if column in ("hour", "occurred_at"):
        return f"TO_TIMESTAMP('{day} 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"TO_DATE('{day}', 'YYYY-MM-DD')"


def documented(docs: Path) -> Iterator[Question]:
    """Yield the queries of metrics.md, for-analysts.md and the cookbook, which the owner asks."""
    pages = [
        docs / "metrics.md",
        docs / "for-analysts.md",
        *sorted(docs.glob("cookbook*.md")),
        *sorted(docs.glob("cookbook/*.md")),
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        indexes: dict[str, list[str]] = {}
        for number, block in enumerate(_BLOCK.finditer(text), 1):
            title = _title_before(text[: block.start()]) or str(number)
            statements = [part.strip() for part in re.split(r";\s*(?:\n|$)", block[1])]
            first = indexes.setdefault(title, [])
            first += [statement for statement in statements if _INDEX.match(statement)]
            for part, sql in enumerate(filter(_QUERY.match, statements)):
                yield Question(
                    page=f"docs/{page.relative_to(docs)}",
                    title=title if not part else f"{title} ({part + 1})",
                    sql=sql,
                    indexes=tuple(first),
                )


def _title_before(text: str) -> str:
    for line in reversed(text.splitlines()):
        if found := _TITLE.match(line):
            return (found[1] or found[2]).strip()
    return ""
