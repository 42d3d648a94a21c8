"""A sync that finds nothing new costs one request a stream and writes nothing that analysts read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from etl.runs.terms import RunStatus
from tests.acceptance.cast import NAMES, PROVIDERS, WITH_DETAIL
from tests.acceptance.conftest import SetStage
from tests.acceptance.stage import START, Row, Stage, quiet_history

REQUESTS = {
    "tuple": [("/api/v2/call_usage", "1")],
    "salpre": [("/api/gateway/v1/call/list", "1")],
    "krosai": [("/v1/calls", "1")],
    "aircall": [("/v1/calls", "1")],
    "twilio": [("/2010-04-01/Accounts/AC000000000000000000000000000000a1/Calls.json", "1")],
}


@pytest.fixture
def stage(set_stage: SetStage) -> Stage:
    """Give a stage with calls of three days at each provider, all of them over, the newest within the lookback."""
    stage = set_stage(quiet_history(agents=2))
    stage.providers = PROVIDERS
    for hours in range(2, 72, 2):
        at = START - timedelta(hours=hours)
        for provider in REQUESTS:
            stage.history.add(provider, number=2, at=at)
        for agent in stage.history.agents():
            stage.history.add("bimpe", number=2, at=at, agent=agent["id"])
    stage.history.advance(timedelta(minutes=50))
    return stage


def versions(stage: Stage) -> list[Row]:
    """Return where each row of the analysts' tables stands, and by whom it was written, locked or deleted."""
    parts = [
        f"SELECT '{table}' AS table, ctid::text, xmin::text, xmax::text, md5(t::text) AS row FROM {table} t"
        for table in ("calls", "call_participants", "call_messages", "call_events", "call_history", "agents")
    ]
    return stage.rows(" UNION ALL ".join(parts) + " ORDER BY 1, 2")


def writes(stage: Stage) -> list[Row]:
    """Return how often rows of the analysts' tables were inserted, updated, deleted, and how many are dead."""
    # A session tells what it did when it ends.
    stage.database.close()
    query = (
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup FROM pg_stat_user_tables "
        "WHERE schemaname = 'public' ORDER BY relname"
    )
    return stage.rows(query)


def test_a_second_sync_asks_once_a_stream(stage: Stage) -> None:
    """One request for each list, and one for BimpeAI's agents; the run says the same."""
    first = stage.sync_all()
    assert {outcome.status for outcome in first.values()} == {RunStatus.SUCCEEDED}
    held = {provider: stage.calls(provider) for provider in PROVIDERS}
    stage.sandbox.clear_requests()

    second = stage.sync_all()

    streams = [agent["id"] for agent in stage.history.agents()]
    wanted = REQUESTS | {
        "bimpe": [("/api/v1/console/agents", "1"), *((f"/api/v1/console/agents/{agent}/calls", "1") for agent in streams)]
    }
    asked = {
        provider: sorted((entry.path, entry.query.get("page", "1")) for entry in stage.sandbox.requests(provider))
        for provider in PROVIDERS
    }
    assert asked == {provider: sorted(requests) for provider, requests in wanted.items()}
    assert {provider: outcome.counters.requests for provider, outcome in second.items()} == {
        provider: len(requests) for provider, requests in wanted.items()
    }
    assert {(one.counters.inserted, one.counters.updated, one.counters.rejected) for one in second.values()} == {(0, 0, 0)}
    assert {provider: stage.calls(provider) for provider in PROVIDERS} == held


@pytest.mark.parametrize("details", [True, False])
def test_a_second_sync_writes_no_row_and_leaves_no_dead_one(stage: Stage, details: bool) -> None:
    """Every row of the analysts' tables is the very same version; the server counted no write."""
    stage.settings = {provider: {"details": details} for provider in PROVIDERS}
    stage.sync_all()
    before, counted = versions(stage), writes(stage)
    assert len(before) > 500
    with_detail = sum(len(stage.ids(provider)) for provider in WITH_DETAIL) if details else 0
    assert stage.rows("SELECT count(detail) FROM calls") == [{"count": with_detail}]
    stage.sandbox.clear_requests()

    stage.sync_all()

    assert versions(stage) == before
    if details:  # a detail is a second version of its call: dead rows, which the server takes away when it likes
        counted, counts = ([row | {"n_dead_tup": 0} for row in found] for found in (counted, writes(stage)))
    else:
        counts = writes(stage)
    assert counts == counted
    assert {row["n_dead_tup"] for row in counted} == {0}
    assert len(stage.sandbox.requests()) == len(REQUESTS) + 1 + len(stage.history.agents())


def test_a_second_sync_moves_the_mark(stage: Stage) -> None:
    """Nothing new is knowledge too: the mark and the freshness follow the provider's clock."""
    stage.sync_all()
    later = stage.history.advance(timedelta(minutes=30))

    stage.sync_all()

    for provider in PROVIDERS:
        assert {row["high_water_mark"] for row in stage.state(provider)} == {later}
        freshness = stage.freshness(provider)
        assert (freshness["connection"], freshness["complete_until"], freshness["gaps"]) == (NAMES[provider], later, 0)


def test_recording_addresses_that_are_signed_anew_change_no_call(stage: Stage) -> None:
    """KrosAI signs every address anew with every response; the rows stay as they are, and the address held is a signed one."""
    stage.sync("krosai")
    urls = {row["recording_url"] for row in stage.calls("krosai").values() if row["recording_url"]}

    outcome = stage.sync("krosai")

    assert urls and all("X-Amz-Signature=" in url for url in urls)
    assert outcome.counters.updated == 0
    assert {row["recording_url"] for row in stage.calls("krosai").values() if row["recording_url"]} == urls


# ── What it asks of the database ────────────────────────────────────────────────────────────────────────────────────


def sent_by(stage: Stage, provider: str) -> list[tuple[bool, str]]:
    """Sync, and return what was sent in the pool's sessions: whether it was a transaction by itself, and how it begins."""
    sent: list[tuple[bool, str]] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, query: Any, *given: Any, **options: Any) -> Any:
            sent.append((self.connection.autocommit, " ".join(str(query).split()[:2])))
            return super().execute(query, *given, **options)

    def count(session: Any, _: object) -> None:
        session.cursor_factory = Counting

    stage.database.close()
    event.listen(stage.database.engine, "connect", count)
    try:
        assert stage.sync(provider).status is RunStatus.SUCCEEDED
    finally:
        event.remove(stage.database.engine, "connect", count)
        stage.database.close()
    return sent


def test_what_a_second_sync_sends_to_the_database(stage: Stage) -> None:
    """Sixteen statements in fourteen transactions, of which the page is one: every quiet run would pay for one more."""
    stage.sync("tuple")

    sent = [(alone, words) for alone, words in sent_by(stage, "tuple") if not words.startswith("SET ")]

    page = ["SELECT transaction_timestamp(),", "SELECT c.call_id,", "WITH other_0"]
    assert ([words for alone, words in sent if not alone], len(sent)) == (page, 16), sent
