"""`/metrics`: whole families, as a Prometheus reads them; what lies in the warehouse is the same for whoever is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics

from etl.runs.terms import RunStatus
from tests.acceptance.cast import USUAL
from tests.acceptance.pages import Family, Pages, pages_over
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Stage

FAMILIES = {
    "etl_last_success_timestamp_seconds",
    "etl_complete_until_timestamp_seconds",
    "etl_lag_seconds",
    "etl_gaps",
    "etl_open_calls",
    "etl_details_due",
    "etl_details_failing",
    "etl_rejects",
    "etl_drift",
    "etl_runs",
    "etl_run_seconds",
    "etl_requests",
    "etl_retries",
    "etl_throttled_seconds",
    "etl_allowance_used",
    "etl_allowance_limit",
    "etl_queue_waiting",
    "etl_jobs_stalled",
    "etl_last_proof_timestamp_seconds",
    "etl_schema_info",
    "etl_database_bytes",
}
"""All that there are; a counter's samples end with `_total`."""


@pytest.fixture
def pages(stage: Stage) -> Iterator[Pages]:
    """Give the pages over the stage's warehouse."""
    with pages_over(stage.database, stage.configured(), clock=stage.clock) as served:
        yield served


def test_the_documentation_has_every_metric() -> None:
    """And no other, by the name that it is asked for by."""
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `(etl_\w+)` \| (\w+) \|", page)

    assert sorted(name.removesuffix("_total") if kind == "counter" else name for name, kind in rows) == sorted(FAMILIES)


def of_all(value: float, **others: float) -> Family:
    """Return a family with this value for every connection but some."""
    return {(name,): others.get(name, value) for name in USUAL.values()}


def seconds(at: datetime) -> float:
    """Return an instant as Prometheus has it."""
    return at.timestamp()


def test_before_the_first_sync_every_connection_has_its_place(stage: Stage, pages: Pages) -> None:
    """Nothing is known but that nothing succeeded yet, so a rule about the last success speaks from the beginning."""
    found = pages.families()

    assert found.keys() == FAMILIES
    assert found["etl_last_success_timestamp_seconds"] == of_all(0)
    assert found["etl_lag_seconds"] == found["etl_complete_until_timestamp_seconds"] == found["etl_open_calls"] == {}
    assert found["etl_runs"] == {(name, "", "succeeded"): 0 for name in USUAL.values()}
    assert found["etl_throttled_seconds"] == of_all(0)
    (version,) = stage.rows("SELECT version_num FROM sync.alembic_version")
    assert found["etl_schema_info"] == {(version["version_num"],): 1}


def test_a_synced_warehouse_is_measured(stage: Stage, pages: Pages) -> None:
    """Freshness, open calls, rejects, drift, gaps, runs and requests are those that the tables hold."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.history.add("salpre", number=2, at=START - timedelta(hours=3))
    stage.history.add_records("salpre", ["a text"], at=START - timedelta(hours=2))
    stage.sync_all()
    stage.sync("krosai")
    runs = stage.rows("SELECT * FROM sync.runs ORDER BY id")
    states = {row["connection"]: row for row in stage.rows("SELECT * FROM data_freshness")}

    found = pages.families()

    assert found["etl_last_success_timestamp_seconds"] == {
        (name,): seconds(row["last_success"]) for name, row in states.items() if row["last_success"]
    }
    assert found["etl_complete_until_timestamp_seconds"] == {
        (name,): seconds(row["complete_until"]) for name, row in states.items() if row["complete_until"]
    }
    lags = {(name,): row["lag_seconds"] for name, row in states.items() if row["lag_seconds"] is not None}
    assert found["etl_lag_seconds"].keys() == lags.keys()
    assert all(0 <= found["etl_lag_seconds"][name] - lag < 600 for name, lag in lags.items())
    assert found["etl_rejects"] == of_all(0, devices=1)
    assert found["etl_gaps"] == {(closable, name): 0 for name in USUAL.values() for closable in ("true", "false")}
    assert found["etl_runs"] == {(name, "", "succeeded"): 2 if name == "telephony" else 1 for name in USUAL.values()}
    asked = {name: sum(run["requests"] for run in runs if run["connection"] == name) for name in USUAL.values()}
    assert found["etl_requests"] == {(name, "succeeded"): number for name, number in asked.items()}
    assert found["etl_retries"] == of_all(0)
    took = [run["finished_at"] - run["started_at"] for run in runs if run["connection"] == "telephony"]
    histogram = found["etl_run_seconds"]
    assert histogram["_count", "telephony"] == histogram["_bucket", "telephony", "+Inf"] == 2
    assert histogram["_sum", "telephony"] == pytest.approx(sum(one.total_seconds() for one in took))
    assert [histogram["_bucket", "telephony", f"{bound}.0"] for bound in (1, 5, 14400)] == [
        sum(one.total_seconds() <= bound for one in took) for bound in (1, 5, 14400)
    ]


def test_a_failed_run_counts_with_its_error_and_its_requests(stage: Stage, pages: Pages) -> None:
    """And what had to be sent again."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.max_attempts = 3
    stage.sandbox.faults.add("status_500", provider="krosai", times=3)
    assert stage.sync("krosai").status is RunStatus.FAILED
    assert stage.sync("krosai").status is RunStatus.SUCCEEDED

    found = pages.families()

    mine = {labels: number for labels, number in found["etl_runs"].items() if labels[0] == "telephony"}
    (failed, good) = stage.rows("SELECT error_code, requests, retries FROM sync.runs ORDER BY id")
    assert mine == {("telephony", "", "succeeded"): 1, ("telephony", failed["error_code"], "failed"): 1}
    assert {labels: number for labels, number in found["etl_requests"].items() if labels[0] == "telephony"} == {
        ("telephony", "failed"): failed["requests"],
        ("telephony", "succeeded"): good["requests"],
    }
    assert found["etl_retries"] == of_all(0, telephony=2)


def test_gaps_say_whether_they_can_be_closed(stage: Stage, pages: Pages) -> None:
    """One that the provider serves no more is lost."""
    stage.sandbox.switches.salpre.recent_calls = 40
    for minutes in range(1, 41):
        stage.history.add("salpre", at=START - timedelta(minutes=minutes))
    stage.sync("salpre")
    stage.history.advance(timedelta(hours=10))
    for minutes in range(1, 61):
        stage.history.add("salpre", at=START + timedelta(hours=10) - timedelta(minutes=minutes))
    stage.sync("salpre")

    assert {labels: number for labels, number in pages.families()["etl_gaps"].items() if labels[1] == "devices"} == {
        ("true", "devices"): 0,
        ("false", "devices"): 1,
    }


def test_the_newest_proof_has_its_verdict(stage: Stage, pages: Pages) -> None:
    """One series for each connection that was audited: what it found, and when."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.sync("krosai")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=stage.folder, providers=("krosai",))
    assert program.run("audit").code == 0
    (audited,) = stage.rows("SELECT max(checked_at) AS at FROM sync.audits")

    assert pages.families()["etl_last_proof_timestamp_seconds"] == {("telephony", "complete"): seconds(audited["at"])}


def test_an_allowance_is_that_of_the_account(stage: Stage, pages: Pages) -> None:
    """The account is a number; no hash of a token stands in the answer; connections with one token share it."""
    stage.history.add("tuple", number=3, at=START - timedelta(hours=3))
    stage.settings = {"krosai": {"daily_requests": 50}}
    stage.sync("tuple")
    stage.sync("krosai")
    pages.site.settings = stage.configured()
    answer = pages.get("/metrics").text
    found = pages.families()
    requests = {run["connection"]: run["requests"] for run in stage.rows("SELECT connection, requests FROM sync.runs")}

    assert found["etl_allowance_limit"] == {
        ("2", "pairing", "60s"): 60,
        ("3", "telephony", "1s"): 10,
        ("3", "telephony", "86400s"): 50,
        ("3", "telephony", "day"): 50,
    }
    assert found["etl_allowance_used"]["2", "pairing", "60s"] == requests["pairing"]
    assert found["etl_allowance_used"]["3", "telephony", "day"] == requests["telephony"]
    for row in stage.rows("SELECT account FROM sync.allowances"):
        assert row["account"] not in answer
    assert [token for token in stage.sandbox.tokens.values() if token in answer] == []


def test_whoever_is_asked_says_the_same(stage: Stage, pages: Pages) -> None:
    """A second worker, begun later, has the same numbers; runs that began before and ended after the first look count once."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.sync("krosai")
    pages.families()
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "INSERT INTO sync.runs (connection, trigger, status, started_at) VALUES ('telephony', 'cli', 'running', now())"
        )
    looked = [pages.families() for _ in range(2)]
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "UPDATE sync.runs SET status = 'failed', error_code = 'unavailable', requests = 7, "
            "finished_at = started_at + interval '30 seconds' WHERE status = 'running'"
        )
    stage.sync("krosai")
    first = pages.families()
    with pages_over(stage.database, stage.configured(), clock=stage.clock) as others:
        second = others.families()

    assert looked[0]["etl_runs"]["telephony", "", "succeeded"] == 1
    assert {labels: number for labels, number in first["etl_runs"].items() if labels[0] == "telephony"} == {
        ("telephony", "", "succeeded"): 2,
        ("telephony", "unavailable", "failed"): 1,
    }
    moving = {"etl_lag_seconds", "etl_database_bytes", "etl_allowance_used"}
    assert {name: family for name, family in first.items() if name not in moving} == {
        name: family for name, family in second.items() if name not in moving
    }


def test_only_this_process_knows_what_it_held_back_and_did_not_begin(pages: Pages) -> None:
    """They count from the worker's start."""
    pages.site.meters.waited("telephony", 2.5)
    pages.site.meters.waited("telephony", 1.5)
    pages.site.meters.not_begun("pairing", "already_running")

    found = pages.families()

    assert found["etl_throttled_seconds"] == of_all(0, telephony=4)
    assert found["etl_runs"]["pairing", "already_running", "not_begun"] == 1


def test_whoever_asks_for_openmetrics_gets_it(stage: Stage, pages: Pages) -> None:
    """The same families, by the stricter grammar; every family has a text that helps."""
    stage.sync("krosai")
    answer = pages.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    plain = pages.get("/metrics")

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4; charset=utf-8")
    families = list(openmetrics.text_string_to_metric_families(answer.text))
    assert {family.name for family in families} == FAMILIES
    assert [family.name for family in families if len(family.documentation) < 10] == []


def test_a_warehouse_that_is_away_is_said_in_a_sentence(pages: Pages) -> None:
    """Prometheus notes that the scrape failed, and the answer says why; once it is back, all is as before."""
    with pages.away():
        answer = pages.get("/metrics")

    assert (answer.status_code, answer.text.partition(". ")[0]) == (503, "The worker has no connection to its warehouse")
    assert pages.families().keys() == FAMILIES
