"""Runs every query of the documentation on a warehouse synced from the sandbox, with just the rights that the docs grant."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url

from etl.errors import WarehouseError
from etl.runs.terms import RunStatus
from etl.sandbox import History
from etl.warehouse import schema
from etl.warehouse.database import Database, driver_of
from etl.warehouse.privacy.granting import Rights, give
from tests.acceptance.cast import USUAL, per_day
from tests.acceptance.fences import fenced
from tests.acceptance.stage import Stage, opened, quiet_history

DOCS = Path(__file__).parents[2] / "docs"
SEED = 5


def blocks(page: str, language: str = "sql") -> list[str]:
    """Return the fenced blocks of a page of the documentation that are in this language."""
    return fenced((DOCS / page).read_text("utf-8"), language)


def granting(who: str) -> str:
    """Return the block of operating.md that makes the role `who`."""
    (found,) = (block for block in blocks("operating.md") if f"CREATE ROLE {who} " in block)
    return found


def statements(block: str) -> list[str]:
    """Return the statements of a block; none of ours holds a semicolon inside."""
    return [statement for part in block.split(";") if (statement := part.strip())]


def ask(session: Connection, query: str) -> list[tuple[object, ...]]:
    """Run one query and return its rows."""
    return [tuple(row) for row in session.exec_driver_sql(query.replace("%", "%%"))]


@pytest.fixture
def synced(set_stage: Callable[[History], Stage]) -> Stage:
    """
    Give a warehouse with two days of calls of all four providers, synced to some minutes ago; one changed, one was deleted.

    The queries ask for the last days, so the history has to end about now; what it draws depends on the hour, and is plenty.
    """
    start = datetime.now(UTC) - timedelta(minutes=10)
    stage = set_stage(History(SEED, start=start, past=timedelta(days=2), calls_per_day=per_day(70), agent_changes=(0, 0, 0)))
    changed, deleted = (stage.history.add("krosai", at=start - timedelta(minutes=ago))[0] for ago in (6, 5))
    outcomes = stage.sync_all()
    assert {provider: (one.status, one.error) for provider, one in outcomes.items()} == dict.fromkeys(
        USUAL, (RunStatus.SUCCEEDED, None)
    )
    stage.history.change("krosai", changed, {"hangup_cause": "normal_clearing"})
    stage.history.delete("krosai", deleted)
    assert stage.sync("krosai").counters.deleted == 1
    return stage


def test_the_analysts_queries_answer(synced: Stage) -> None:
    """Each query runs as the role that operating.md makes for analysts, and has rows to show."""
    queries = blocks("for-analysts.md")
    assert len(queries) == 14
    for query in queries:
        with synced.database.begin() as session:
            for statement in statements(granting("analyst")):
                session.exec_driver_sql(statement)
            assert give(driver_of(session), "analyst", Rights()) == []
            session.exec_driver_sql("SET ROLE analyst")
            rows = ask(session, query)
            session.rollback()  # roles belong to the whole server
        assert rows, f"no row (seed {SEED}): {query}"


def test_the_metrics_queries_answer(synced: Stage) -> None:
    """Each definition of metrics.md runs on the views that it names, and has rows to show."""
    queries = blocks("metrics.md")
    assert len(queries) == 6
    with synced.database.begin() as session:
        for query in queries:
            assert ask(session, query.strip().removesuffix(";")), f"no row (seed {SEED}): {query}"


def test_the_dashboards_role_sees_no_personal_data(synced: Stage) -> None:
    """The role that may read the schema masked reads what it needs, and neither addresses, transcripts, people nor records."""
    allowed = ["SELECT day, status, count(*), sum(cost) FROM masked.calls GROUP BY 1, 2", "SELECT * FROM masked.data_freshness"]
    allowed += ["SELECT * FROM masked.calls", "TABLE masked.call_participants", "TABLE masked.calls_daily"]
    refused = ["SELECT * FROM calls", "SELECT transcript FROM calls", "SELECT raw FROM calls", "TABLE call_participants"]
    refused += ["SELECT from_address FROM calls", "TABLE sync.rejected_records", "TABLE sync.salt", "TABLE person_daily"]
    with synced.database.engine.connect() as session:
        for statement in statements(granting("dashboard")):
            session.exec_driver_sql(statement)
        assert give(driver_of(session), "dashboard", Rights(masked=True)) == []
        session.exec_driver_sql("SET ROLE dashboard")
        assert all(ask(session, query) for query in allowed)
        for query in refused:
            savepoint = session.begin_nested()
            with pytest.raises(Exception, match="permission denied"):
                ask(session, query)
            savepoint.rollback()
        session.rollback()


def test_the_operators_queries_run(synced: Stage) -> None:
    """The queries of operating.md for alarms run, and are silent where all is well: no gap, reject, lag, or failing detail."""
    queries = [block for block in blocks("operating.md") if "CREATE ROLE" not in block]
    assert len(queries) == 4
    with synced.database.begin() as session:
        assert [row for query in queries for row in ask(session, query)] == []


@pytest.fixture
def bare_role(empty_database: Database) -> Iterator[str]:
    """Give a role that may do nothing in a database that somebody else owns, not even what everybody may."""
    name = f"etl_{os.getpid()}"
    with empty_database.begin() as session:
        session.exec_driver_sql(f"CREATE ROLE {name} LOGIN")
        session.exec_driver_sql(f'REVOKE ALL ON DATABASE "{empty_database.engine.url.database}" FROM PUBLIC')
        session.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield name
    with empty_database.begin() as session:
        session.exec_driver_sql(f"DROP OWNED BY {name} CASCADE")
        session.exec_driver_sql(f"DROP ROLE {name}")


def test_the_rights_that_the_docs_grant_suffice(empty_database: Database, bare_role: str, tmp_path: Path) -> None:
    """With the grants of operating.md a bare role migrates and syncs, without the CREATEs it syncs on; ungranted it fails."""
    (block,) = (block for block in blocks("operating.md", "") if "GRANT CREATE" in block)
    mine = re.sub(r" *--.*", "", block).replace("DATABASE warehouse", f'DATABASE "{empty_database.engine.url.database}"')
    grants = statements(mine.replace(" TO etl;", f" TO {bare_role};"))
    url = make_url(empty_database.url).set(username=bare_role).render_as_string(hide_password=False)

    with Database(url) as database, pytest.raises(WarehouseError):
        schema.migrate(database)

    with empty_database.begin() as session:
        for grant in grants:
            session.exec_driver_sql(grant)
    with Database(url) as database:
        assert schema.migrate(database) == (None, schema.head())
        with empty_database.begin() as session:
            for grant in grants[:2]:
                session.exec_driver_sql(grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
        stage = opened(quiet_history(), database=database, url=url, folder=tmp_path)
        try:
            (call_id,) = stage.history.add("krosai", at=stage.history.now - timedelta(minutes=5))
            stage.sync("krosai")
            stage.history.change("krosai", call_id, {"hangup_cause": "normal_clearing"})
            stage.sync("krosai")
            runs = stage.rows("SELECT inserted, updated FROM sync.runs ORDER BY id")
            assert [tuple(row.values()) for row in runs] == [(1, 1), (0, 2)]  # the list's record, then the detail
        finally:
            stage.sandbox.stop()
