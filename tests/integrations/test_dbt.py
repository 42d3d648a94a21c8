"""The dbt package: it builds on a synced warehouse, and the build that follows the calls ends where one from nothing does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from etl.runs.terms import RunStatus
from etl.sandbox import History
from etl.warehouse.database import Database, driver_of
from etl.warehouse.privacy.granting import Rights, give
from tests.acceptance.stage import Row, Stage, opened
from tests.integrations.environments import ROOT, Environment, with_pip

PACKAGE = ROOT / "dashboards" / "dbt"
SEED = 5
BUILT = "SELECT * FROM analytics.fct_calls ORDER BY call_key"
HELD = "SELECT count(*), sum(talk_seconds), sum(cost), min(day) FROM {relation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbt:
    """dbt in its own environment, over one warehouse; what it leaves is in `folder`."""

    environment: Environment
    url: str
    folder: Path

    def run(self, *arguments: str, user: str | None = None, variables: Mapping[str, object] | None = None) -> tuple[int, str]:
        """Run a command of dbt; return its exit code and what it said."""
        url = make_url(self.url)
        about = {
            "DBT_HOST": url.host or str(url.query["host"]),
            "DBT_PORT": str(url.port or 5432),
            "DBT_DATABASE": str(url.database),
            "DBT_USER": user or str(url.username),
            "DBT_ENV_SECRET_PASSWORD": url.password or "",
            "DBT_PROFILES_DIR": str(PACKAGE),
            "DBT_TARGET_PATH": str(self.folder / "target"),
            "DBT_LOG_PATH": str(self.folder / "logs"),
        }
        options = ("--project-dir", str(PACKAGE), "--vars", json.dumps(dict(variables or {})))
        ended = subprocess.run(
            [self.environment.folder / "bin" / "dbt", "--no-use-colors", "--no-version-check", *arguments, *options],
            env=dict(os.environ) | about,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout

    def build(self, *arguments: str, user: str | None = None, variables: Mapping[str, object] | None = None) -> None:
        """Build everything; every model is made, every test passes, and nothing is left out."""
        code, said = self.run("build", *arguments, user=user, variables=variables)
        assert (code, set(self.results().values())) == (0, {"success", "pass"}), said

    def results(self) -> dict[str, str]:
        """Return how each model and test of the last command ended, by its name."""
        document = json.loads((self.folder / "target" / "run_results.json").read_text("utf-8"))
        return {
            one["unique_id"].split(".")[2]: one["status"]
            for one in document["results"]
            if one["unique_id"].startswith(("model.", "test."))
        }

    def manifest(self) -> dict[str, Any]:
        """Return what dbt has read of the package."""
        return json.loads((self.folder / "target" / "manifest.json").read_text("utf-8"))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def dbt_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give the environment that the package's lock file describes."""
    made = with_pip(tmp_path_factory.mktemp("dbt") / "environment", Path(sys.executable), "newest")
    made.pip("install", "--quiet", "--require-hashes", "--no-deps", "-r", str(PACKAGE / "requirements.lock"))
    return made


@pytest.fixture
def stage(database: Database, database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """Give a warehouse with two days of calls of all four providers, of which none was written within the last hour."""
    start = datetime.now(UTC) - timedelta(minutes=10)
    one = opened(
        History(SEED, start=start, past=timedelta(days=2), agent_changes=(0, 0, 0)),
        database=database,
        url=database_url,
        folder=tmp_path,
    )
    try:
        assert {outcome.status for outcome in one.sync_all().values()} == {RunStatus.SUCCEEDED}
        with database.begin() as session:
            session.exec_driver_sql("UPDATE calls SET changed_at = changed_at - interval '1 hour'")
        yield one
    finally:
        one.sandbox.stop()


@pytest.fixture
def dbt(dbt_environment: Environment, stage: Stage, tmp_path: Path) -> Dbt:
    """Give dbt over that warehouse."""
    return Dbt(environment=dbt_environment, url=stage.url, folder=tmp_path)


def test_a_build_is_green_and_says_what_the_warehouse_says(dbt: Dbt, stage: Stage) -> None:
    """Every model and every test; the calls and sums are those of the views that they are made from."""
    dbt.build()

    assert dbt.results()["fct_calls_agrees_with_daily_calls"] == dbt.results()["no_connection_is_stale"] == "pass"
    assert stage.rows(HELD.format(relation="analytics.fct_calls")) == stage.rows(HELD.format(relation="call_facts"))
    for model, view in {"daily_calls": "calls_daily", "daily_agents": "agent_daily"}.items():
        sums = "SELECT day, sum(calls), sum(answered), sum(talk_seconds), sum(cost) FROM {} GROUP BY day ORDER BY day"
        assert stage.rows(sums.format(f"analytics.{model}")) == stage.rows(sums.format(view)) != []


def test_a_build_after_changes_equals_one_from_nothing(dbt: Dbt, stage: Stage) -> None:
    """One call was changed, one deleted, one is new: only they are written, and the result is that of a full refresh."""
    changed, deleted = (stage.history.add("krosai", at=stage.history.now - timedelta(minutes=ago))[0] for ago in (6, 5))
    stage.sync("krosai")
    stage.rows("UPDATE calls SET changed_at = changed_at - interval '1 hour' RETURNING call_id")
    dbt.build()
    built = "SELECT xmin::text FROM analytics.fct_calls WHERE call_id = '{}'"
    whose = f"SELECT call_id FROM analytics.fct_calls WHERE xmin::text = ({built})"
    first = stage.rows(BUILT)

    stage.history.change("krosai", changed, {"hangup_cause": "normal_clearing", "duration_seconds": 77})
    stage.history.delete("krosai", deleted)
    (added,) = stage.history.add("krosai", at=stage.history.now - timedelta(minutes=4))
    assert stage.sync("krosai").counters.deleted == 1
    dbt.build()

    followed = stage.rows(BUILT)
    assert {row["call_id"] for row in followed} == {row["call_id"] for row in first} - {deleted} | {added}
    assert {row["call_id"] for row in stage.rows(whose.format(added))} == {changed, added}
    assert of(followed, changed) != of(first, changed)
    dbt.build("--full-refresh")
    assert stage.rows(BUILT) == followed


def test_another_reporting_time_zone_is_taken_on(dbt: Dbt, stage: Stage) -> None:
    """The local hour of every call is another one, though hardly a call was written for it."""
    dbt.build()
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION public.reporting_timezone() RETURNS text LANGUAGE sql STABLE RETURN 'Asia/Kolkata'::text"
        )
    code, said = dbt.run("run", "--select", "fct_calls")
    assert code == 0, said

    zones = stage.rows("SELECT DISTINCT reporting_timezone FROM analytics.fct_calls")
    assert zones == [{"reporting_timezone": "Asia/Kolkata"}]


def test_a_connection_that_is_stale_is_named_while_others_are_fresh(dbt: Dbt) -> None:
    """It alone: by the test in the log, and by dbt's freshness, which looks at the one that lies furthest behind."""
    variables = {"stale_after_minutes_of": {"telephony": 0}}
    code, said = dbt.run("test", "--select", "no_connection_is_stale", variables=variables)

    assert (code, dbt.results()) == (1, {"no_connection_is_stale": "fail"})
    assert [line.partition("STALE ")[2].split(":")[0] for line in said.splitlines() if "STALE" in line] == ["telephony"]


def test_a_role_that_sees_the_masked_schema_alone_can_build(dbt: Dbt, stage: Stage) -> None:
    """It builds the same calls, without a number, a name or a text."""
    with stage.database.begin() as session:
        session.exec_driver_sql("CREATE ROLE masked_dbt LOGIN")
    try:
        with stage.database.begin() as session:
            assert give(driver_of(session), "masked_dbt", Rights(masked=True)) == []
            session.exec_driver_sql(f'GRANT CREATE ON DATABASE "{make_url(stage.url).database}" TO masked_dbt')
        dbt.build(user="masked_dbt", variables={"calls_schema": "masked"})

        (row, *_) = stage.rows(BUILT)
        assert row.keys() & {"customer_key", "customer_number", "our_number", "end_reason", "error_reason"} == {"customer_key"}
        assert stage.rows(HELD.format(relation="analytics.fct_calls")) == stage.rows(HELD.format(relation="call_facts"))
    finally:
        with stage.database.begin() as session:
            session.exec_driver_sql("DROP OWNED BY masked_dbt CASCADE")
            session.exec_driver_sql("DROP ROLE masked_dbt")


def test_the_warehouses_own_schemas_are_refused(dbt: Dbt, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What dbt makes would lie among the warehouse's tables."""
    monkeypatch.setenv("DBT_SCHEMA", "public")
    code, said = dbt.run("build")

    assert code != 0
    assert "The schema public belongs to the call warehouse, so nothing was made in it." in said
    assert stage.rows("SELECT 1 FROM pg_class WHERE relname = 'fct_calls'") == []


def of(rows: list[Row], call_id: str) -> Row:
    """Return the row of a call."""
    (found,) = (row for row in rows if row["call_id"] == call_id)
    return found
