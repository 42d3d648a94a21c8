"""What the lane `reading` asks: the charts as Superset asks them, and the queries that the pages of docs show."""

import re
from datetime import date
from pathlib import Path

from benchmarks.questions import charts, documented
from etl.superset.definitions import read
from tests.acceptance.cookbook.asking import questions

TODAY = date(2026, 11, 26)


def test_a_chart_is_filtered_by_the_defaults_of_its_page_and_grouped() -> None:
    """The range of the page, the chart's own condition and the page's filter of tests, around the dataset's query."""
    (question,) = (one for one in charts(TODAY) if one.title == "Which agents carry the load?")

    assert (question.page, question.is_chart, question.is_of_pairs) == ("dashboard: agents", True, False)
    asked = re.sub(r"\s+", " ", question.sql)
    assert asked.startswith("SELECT agent, sum(talk_seconds) / 3600.0 AS talk_hours FROM (SELECT ")
    assert asked.endswith(
        ") AS virtual WHERE day >= TO_DATE('2026-10-27', 'YYYY-MM-DD') AND day < TO_DATE('2026-11-27', 'YYYY-MM-DD') "
        "AND (agent IS NOT NULL) AND is_test IN (false) GROUP BY agent ORDER BY talk_hours DESC LIMIT 25"
    )


def test_every_chart_is_asked_and_a_repeated_one_once() -> None:
    """The header with the freshness stands on every page, and is one query."""
    asked = [(one.page, one.title) for one in charts(TODAY)]
    named = [
        (f"dashboard: {page}", chart.title)
        for page, dashboard in read().dashboards.items()
        for row in dashboard.rows
        for chart in row.charts
        if chart.title
    ]

    assert sorted(asked) == sorted([*named, ("dashboard: calls", "Up to when is this complete?")])


def test_the_owner_asks_the_same_of_public() -> None:
    """Keys have names there."""
    (question,) = (one for one in charts(TODAY) if one.title == "Which pairs spend the most time together?")

    assert "FROM masked.pair_weekly" in question.sql
    assert "left(person_a_key, 6)" in question.sql and "left(person_a, 6)" in question.unmasked()
    assert "FROM public.pair_weekly" in question.unmasked()
    assert question.is_of_pairs


def test_what_is_asked_of_public_names_no_key() -> None:
    """There are none: the agents' charts could not be asked there."""
    keys = re.compile(r"\b(agent|customer|person|person_a|person_b)_key\b")
    assert [one.title for one in charts(TODAY) if keys.search(one.unmasked())] == []


def test_the_queries_of_a_page_are_asked_and_what_changes_something_is_not(tmp_path: Path) -> None:
    """Each under the line that names it; a block may hold several."""
    for name in ("metrics.md", "for-analysts.md"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "cookbook.md").write_text(
        "# Cookbook\n\n**Who called?** Numbers.\n\n```sql\nCREATE INDEX here ON calls (day);\nSELECT 1;\n"
        "-- and\nSELECT 2\n```\n\n"
        "## Later\n\n```sql\nWITH one AS (SELECT 3) SELECT * FROM one;\n```\n",
        encoding="utf-8",
    )

    assert [(one.page, one.title, one.sql) for one in documented(tmp_path)] == [
        ("docs/cookbook.md", "Who called?", "SELECT 1"),
        ("docs/cookbook.md", "Who called? (2)", "-- and\nSELECT 2"),
        ("docs/cookbook.md", "Later", "WITH one AS (SELECT 3) SELECT * FROM one"),
    ]


def test_a_query_is_asked_again_with_the_indexes_that_its_page_makes_first(tmp_path: Path) -> None:
    """They are made, and dropped again; another question of the page has none."""
    for name in ("metrics.md", "for-analysts.md"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "cookbook.md").write_text(
        "## One\n\n```sql\nSELECT 1;\n```\n\n## Two\n\n```sql\nCREATE INDEX here ON calls (day);\n```\n\n"
        "```sql\nSELECT 2 WHERE 'telephony' <> '+14155551050';\n```\n",
        encoding="utf-8",
    )

    one, two = documented(tmp_path)

    assert (one.indexes, two.indexes) == ((), ("CREATE INDEX here ON calls (day)",))
    assert two.without_indexes() == ["DROP INDEX here"]
    assert two.of_made_up("+14155550007") == "SELECT 2 WHERE 'krosai-main' <> '+14155550007'"


def test_every_question_of_the_cookbook_is_asked() -> None:
    """Each once, by its heading."""
    docs = Path(__file__).parents[2] / "docs"
    asked = [(one.page, one.title, one.sql) for one in documented(docs) if one.page.startswith("docs/cookbook/")]

    assert asked == [(f"docs/cookbook/{one.page}", one.title, one.query.strip().removesuffix(";")) for one in questions()]
    assert len(asked) == 48
