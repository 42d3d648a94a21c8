"""Knows how the cookbook's pages are read and asked: each question with its query, and the answer that the page shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from tests.acceptance.cookbook.world import ASKED, TODAY, Answer, Company
from tests.acceptance.fences import fenced

PAGES = Path(__file__).parents[3] / "docs" / "cookbook"


@dataclass(frozen=True, slots=True)
class Question:
    """A section of a page: its heading, what has to be there first, the query, and the lines of the table below it."""

    page: str
    title: str
    first: tuple[str, ...]
    query: str
    shown: str


def questions() -> list[Question]:
    """Return every question of every page; each has one query, and indexes that are made for it."""
    found = []
    for page in sorted(PAGES.glob("*.md")):
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, _, text = section.partition("\n")
            blocks = [block.strip() for block in fenced(text, "sql")]
            first = tuple(block for block in blocks if block.startswith("CREATE INDEX"))
            (query,) = (block for block in blocks if block not in first)
            table = [line for line in text.splitlines() if line.startswith("|")]
            found.append(Question(page.name, title.strip(), first, query, "\n".join(table)))
    return found


Answering = Callable[[Company], Answer]


class Answers(dict[str, Answering]):
    """What answers each question in plain Python, by its heading."""

    def to(self, title: str) -> Callable[[Answering], Answering]:
        """Take a function as the answer to a question."""

        def keep(answering: Answering) -> Answering:
            assert title not in self, title
            self[title] = answering
            return answering

        return keep


def at_the_time(session: Connection) -> None:
    """Let it be the morning on which the pages were written: only for functions that a query names, never inside a view."""
    session.exec_driver_sql("CREATE SCHEMA asked")
    session.exec_driver_sql(f"CREATE FUNCTION asked.now() RETURNS timestamptz STABLE RETURN timestamptz '{ASKED.isoformat()}'")
    session.exec_driver_sql(f"CREATE FUNCTION asked.reporting_today() RETURNS date STABLE RETURN date '{TODAY.isoformat()}'")
    session.exec_driver_sql("SET LOCAL search_path = asked, public, pg_catalog")


def ask(session: Connection, query: str) -> tuple[list[str], Answer]:
    """Return the names of the columns, and the rows."""
    result = session.exec_driver_sql(query.replace("%", "%%"))
    return list(result.keys()), [tuple(row) for row in result]


def table(columns: Sequence[str], rows: Answer) -> str:
    """Return rows as a page shows them."""
    lines = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
