"""`etl replay` derives every row again from what is held: rows follow a change to a mapping, and nothing else moves."""

from __future__ import annotations

import json
import threading
import tracemalloc
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etl import providers
from etl.cli.progress import Silence
from etl.model import Status
from etl.provider import Provider
from etl.runs.replay import replay_connection
from etl.runs.terms import Outcome, RunStatus, Want
from etl.sandbox import History
from etl.system import SystemThreads
from etl.warehouse.locks import Locks
from etl.warehouse.replay import PostgresReplay
from etl.wiring import account
from tests.acceptance.cast import NAMES, PROVIDERS, USUAL, per_day
from tests.acceptance.conftest import SetStage
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Row, Stage

TABLES = ("calls", "call_participants", "call_messages", "call_events")
HOUR = timedelta(hours=1)


def replayed(stage: Stage, name: str, mapping: Provider | None = None, *, watcher: Any = None, stop: Any = None) -> Outcome:
    """Replay the connection at a provider, with another mapping where one is given."""
    connection = NAMES[name]
    one = account(connection, stage.configured().connections[connection])
    with stage.surroundings(PostgresReplay, watcher=watcher, stop=stop) as given:
        return replay_connection(replace(one, provider=mapping or one.provider), given=given)


def without(name: str, column: str) -> Provider:
    """Return a provider's mapping as it was before anybody knew the key of one column."""
    known = providers.get(name)
    return replace(known, fields=tuple(field for field in known.fields if field.column != column))


def everything(stage: Stage) -> dict[str, list[Row]]:
    """Return each row of the calls and what belongs to them, with the transaction that wrote it."""
    order = "connection, call_id, 3"
    return {table: stage.rows(f"SELECT *, xmin::text AS written FROM {table} ORDER BY {order}") for table in TABLES}


def reject(stage: Stage, name: str, record: Any, *, seen_at: datetime) -> None:
    """Keep a record as a reject that was last seen at an instant."""
    text = json.dumps(record)
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "INSERT INTO sync.rejected_records (connection, stream, record_key, call_id, reason, raw_text, first_seen_at,"
            " last_seen_at) VALUES (%(name)s, 'calls', md5(%(text)s), %(id)s, 'bad_cursor', %(text)s, %(at)s, %(at)s)",
            {"name": NAMES[name], "text": text, "id": str(record["id"]), "at": seen_at},
        )


def peak_of_a_replay(stage: Stage) -> int:
    """Return the most bytes that a replay held at once."""
    tracemalloc.start()
    try:
        assert replayed(stage, "tuple", without("tuple", "duration_seconds")).error is None
        assert replayed(stage, "tuple").error is None
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_memory_of_a_replay_does_not_grow_with_the_calls(stage: Stage) -> None:
    """Twice as many calls, every one of them written anew, twice: the most that is held at once stays as it was."""
    for minute in range(20):
        stage.history.add("tuple", at=START - 40 * HOUR + minute * timedelta(minutes=1), number=100)
    assert stage.sync("tuple").error is None
    few = peak_of_a_replay(stage)
    for minute in range(20):
        stage.history.add("tuple", at=START - 30 * HOUR + minute * timedelta(minutes=1), number=100)
    assert stage.sync("tuple", want=Want(full=True)).error is None
    assert stage.rows("SELECT count(*) FROM calls") == [{"count": 4_000}]

    assert peak_of_a_replay(stage) < few * 1.3


@pytest.mark.parametrize("seed", range(2))
def test_a_replay_without_a_change_to_a_mapping_writes_no_row_and_sends_no_request(set_stage: SetStage, seed: int) -> None:
    """What a sync derived from records as they came, a replay derives from them as they are held, for all providers."""
    stage = set_stage(History(seed, start=START, past=timedelta(days=2), calls_per_day=per_day(40)))
    stage.providers = PROVIDERS
    stage.sync_all()
    stage.history.advance(3 * HOUR)
    stage.sync_all()
    before = everything(stage)
    stage.sandbox.clear_requests()

    outcomes = {name: replayed(stage, name) for name in PROVIDERS}

    assert {name: (outcome.status, outcome.counters.updated, outcome.findings) for name, outcome in outcomes.items()} == {
        name: (RunStatus.SUCCEEDED, 0, []) for name in PROVIDERS
    }
    assert sum(outcome.counters.unchanged for outcome in outcomes.values()) == len(before["calls"]) > 300
    assert everything(stage) == before
    assert stage.sandbox.requests() == []


def test_a_new_column_reaches_the_rows_that_have_it_and_no_others(stage: Stage) -> None:
    """Rows without the value are not written; those with it keep every instant, their hash, and make no history."""
    ids = [stage.history.add("bimpe", at=START - (index + 1) * HOUR)[0] for index in range(6)]
    for call_id in ids[:2]:
        stage.history.change("bimpe", call_id, {"status": "failed", "error_reason": "carrier said no"})
    for call_id in ids[2:]:
        stage.history.change("bimpe", call_id, {"error_reason": None})
    stage.sync("bimpe")
    full, versions = stage.calls("bimpe"), stage.rows("SELECT * FROM call_history ORDER BY call_id, version")

    forgot = replayed(stage, "bimpe", without("bimpe", "error_reason"))
    poorer = everything(stage)["calls"]
    found = replayed(stage, "bimpe")

    assert (forgot.counters.updated, forgot.counters.unchanged) == (2, 4)
    assert [row["error_reason"] for row in poorer] == [None] * 6
    assert (found.counters.updated, found.counters.unchanged) == (2, 4)
    now = stage.calls("bimpe")
    moved = {call_id: {"last_run_id": found.run_id, "changed_at": now[call_id]["changed_at"]} for call_id in ids[:2]}
    assert now == full | {call_id: full[call_id] | values for call_id, values in moved.items()}
    assert all(now[call_id]["changed_at"] > full[call_id]["changed_at"] for call_id in ids[:2])  # who copies calls on sees it
    after = {row["call_id"]: row["written"] for row in everything(stage)["calls"]}
    assert {row["call_id"] for row in poorer if after[row["call_id"]] != row["written"]} == set(ids[:2])
    assert stage.rows("SELECT * FROM call_history ORDER BY call_id, version") == versions


def test_children_follow_a_mapping_and_those_of_other_calls_stay_as_written(stage: Stage) -> None:
    """E-mail addresses come to the participants that have one; of the calls' rows only `changed_at` moves, where any did."""
    stage.history.add("tuple", number=5, at=START - HOUR)
    (guests,) = stage.history.add("tuple", at=START - 2 * HOUR)
    record = next(one for one in stage.sandbox.truth("tuple") if str(one["id"]) == guests)
    anonymous = [{**part, "user": None} for part in record["call_participations"]]
    stage.history.replace("tuple", guests, {**record, "call_participations": anonymous})
    stage.sync("tuple")
    known = providers.get("tuple")
    assert known.participants is not None
    fields = tuple(field for field in known.participants.fields if field.column != "email")
    before = everything(stage)

    forgot = replayed(stage, "tuple", replace(known, participants=replace(known.participants, fields=fields)))
    poorer = everything(stage)
    found = replayed(stage, "tuple")

    assert (forgot.counters.updated, found.counters.updated) == (5, 5)
    assert {row["email"] for row in poorer["call_participants"]} == {None}

    def plain(rows: list[Row]) -> list[Row]:
        return [{name: value for name, value in row.items() if name not in ("written", "changed_at")} for row in rows]

    assert plain(poorer["calls"]) == plain(everything(stage)["calls"]) == plain(before["calls"])
    changed = [{row["call_id"] for row in rows["calls"] if row not in before["calls"]} for rows in (poorer, everything(stage))]
    assert changed == [{row["call_id"] for row in before["calls"]} - {guests}] * 2
    assert plain(everything(stage)["call_participants"]) == plain(before["call_participants"])
    untouched = [row for row in before["call_participants"] if row["call_id"] == guests]
    assert [row for row in everything(stage)["call_participants"] if row["call_id"] == guests] == untouched != []


def test_a_word_that_the_mapping_now_knows_is_no_departure_any_more(stage: Stage) -> None:
    """The status follows the word, and the list of departures is that of what is held."""
    (call_id,) = stage.history.add("salpre", at=START - HOUR)
    stage.history.change("salpre", call_id, {"status": "parked"})
    stage.sync("salpre")
    assert stage.calls("salpre")[call_id]["status"] == "unknown"
    assert [row[:3] for row in stage.drift("salpre")] == [("status", "new_status", "parked")]
    known = providers.get("salpre")

    outcome = replayed(stage, "salpre", replace(known, statuses={**known.statuses, "parked": Status.QUEUED}))

    assert outcome.counters.updated == 1
    assert stage.calls("salpre")[call_id]["status"] == "queued"
    assert stage.drift("salpre") == []

    replayed(stage, "salpre")

    assert stage.drift("salpre") == [("status", "new_status", "parked", 1)]


def test_an_interrupted_replay_keeps_what_it_wrote_and_the_next_one_writes_only_the_rest(stage: Stage) -> None:
    """Each stretch of calls is a transaction; after the stop the first is as the mapping makes it, the rest as before."""
    stage.history.add("tuple", number=1500, at=START - HOUR)
    stage.sync("tuple")
    mapping, stop = without("tuple", "duration_seconds"), threading.Event()

    class StopsAfterOne(Silence):
        def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
            assert (records, total) == (1000, 1500)
            stop.set()

    cut = replayed(stage, "tuple", mapping, watcher=StopsAfterOne(), stop=stop)
    halfway = [row["duration_seconds"] is None for _, row in sorted(stage.calls("tuple").items())]
    rest = replayed(stage, "tuple", mapping)

    assert (cut.status, cut.error and cut.error.code, cut.counters.updated) == (RunStatus.PARTIAL, "interrupted", 1000)
    assert sum(halfway) == 1000
    assert (rest.status, rest.counters.updated, rest.counters.unchanged) == (RunStatus.SUCCEEDED, 500, 1000)
    assert {row["duration_seconds"] for row in stage.calls("tuple").values()} == {None}


# ── Rejects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reject_that_the_mapping_now_understands_becomes_a_call(stage: Stage) -> None:
    """It is loaded as of when it was last seen and resolved; calls that the mapping no longer understands stay, and are told."""
    stage.history.add("tuple", number=3, at=START - HOUR)
    record = {name: value for name, value in stage.sandbox.truth("tuple")[0].items() if name not in ("id", "call_participations")}
    stage.history.add_records("tuple", [record | {"uuid": "one-more"}], at=START - HOUR)
    stage.sync("tuple")
    stage.sync("tuple")
    assert [(row["reason"], row["sightings"]) for row in stage.rejects("tuple")] == [
        ("missing_id", 3)  # the first sync's second sighting is the proof that its window was answered whole
    ]
    (kept,) = stage.rows("SELECT first_seen_at, last_seen_at FROM sync.rejected_records")
    before = stage.calls("tuple")

    outcome = replayed(stage, "tuple", replace(providers.get("tuple"), call_id="uuid"))

    assert (outcome.status, outcome.counters.inserted, outcome.counters.updated) == (RunStatus.SUCCEEDED, 1, 0)
    assert [(finding.code, finding.text) for finding in outcome.findings] == [
        ("underivable", "3 calls can no longer be derived from the records held; nothing was changed there.")
    ]
    new = stage.calls("tuple").pop("one-more")
    assert (new["observed_at"], new["first_seen_at"]) == (kept["last_seen_at"], kept["first_seen_at"])
    assert (new["last_changed_at"], new["raw"]) == (kept["last_seen_at"], record | {"uuid": "one-more"})
    assert stage.calls("tuple") == before | {"one-more": new}
    assert [row["resolved_at"] is None for row in stage.rejects("tuple")] == [False]


@pytest.mark.parametrize(("age", "duration", "versions"), [(HOUR, 100, 0), (-HOUR, 7, 1)])
def test_a_reject_of_a_held_call_is_compared_by_when_it_was_seen(
    stage: Stage, age: timedelta, duration: int, versions: int
) -> None:
    """An older one changes nothing, a newer one supersedes what is held; both are rejects no more."""
    (call_id,) = stage.history.add("tuple", at=START - HOUR)
    stage.history.change("tuple", call_id, {"duration_seconds": 100})
    stage.sync("tuple")
    held = stage.calls("tuple")[call_id]
    reject(stage, "tuple", held["raw"] | {"duration_seconds": 7}, seen_at=held["observed_at"] - age)

    outcome = replayed(stage, "tuple")

    assert (outcome.status, outcome.counters.rejected, outcome.counters.updated) == (RunStatus.SUCCEEDED, 0, versions)
    assert stage.calls("tuple")[call_id]["duration_seconds"] == duration
    assert stage.rows("SELECT count(*) AS versions FROM call_history") == [{"versions": versions}]
    assert [row["resolved_at"] is None for row in stage.rejects("tuple")] == [False]


def test_a_reject_does_not_bring_back_a_call_that_was_found_gone_since(stage: Stage) -> None:
    """Never older over newer holds for absence too."""
    (call_id,) = stage.history.add("tuple", at=START - HOUR)
    stage.history.add("tuple", number=3, at=START - 2 * HOUR)
    stage.sync("tuple")
    held = stage.calls("tuple")[call_id]
    stage.history.delete("tuple", call_id)
    stage.sync("tuple")
    assert call_id not in stage.ids("tuple")
    reject(stage, "tuple", held["raw"], seen_at=held["observed_at"])

    replayed(stage, "tuple")

    assert call_id not in stage.ids("tuple")
    assert [row["resolved_at"] is None for row in stage.rejects("tuple")] == [False]


def test_a_reject_that_still_is_one_is_left_as_it_is(stage: Stage) -> None:
    """Trying it is no sighting."""
    stage.history.add("tuple", number=2, at=START - HOUR)
    stage.history.add_records("tuple", [{"id": "bad", "ended_at": "soon"}], at=START - HOUR)
    stage.sync("tuple")
    before = stage.rejects("tuple")

    outcome = replayed(stage, "tuple")

    assert (outcome.status, outcome.counters.rejected, outcome.counters.records_seen) == (RunStatus.SUCCEEDED, 1, 3)
    assert stage.rejects("tuple") == before


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_needs_no_credential_and_leaves_a_run_without_requests(stage: Stage, tmp_path: Path) -> None:
    """It works on what is held, also after the provider's account is gone; a connection that holds nothing is left alone."""
    stage.history.add("tuple", number=3, at=START - HOUR)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)
    assert program.run("sync", "pairing").code == 0
    program.settings = {name: {"token": None} for name in USUAL}
    stage.sandbox.clear_requests()

    ended = program.run("replay", "--json")

    assert (ended.code, ended.lines) == (0, [])
    one = {"inserted": 0, "updated": 0, "unchanged": 3, "rejected": 0, "records_seen": 3, "findings": [], "error": None}
    none = {"run": None, "status": "nothing_held"} | dict.fromkeys(one, 0) | {"findings": [], "error": None}
    assert ended.json == {
        "connections": [
            {"connection": "pairing", "run": 2, "status": "succeeded", **one},
            *({"connection": NAMES[name], **none} for name in list(USUAL)[1:]),
        ]
    }
    (run,) = stage.rows("SELECT status, kind, trigger, requests, unchanged FROM sync.runs WHERE id = 2")
    assert run == {"status": "succeeded", "kind": "replay", "trigger": "cli", "requests": 0, "unchanged": 3}
    assert stage.sandbox.requests() == []
    assert program.run("replay", "pairing").out.splitlines()[1].split() == ["pairing", "succeeded", "3", "0", "0", "3", "0"]


def test_the_command_leaves_a_connection_alone_that_another_run_works_on(stage: Stage, tmp_path: Path) -> None:
    """It says so and exits 3; nothing was touched."""
    stage.history.add("tuple", number=3, at=START - HOUR)
    stage.sync("tuple")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)
    with Locks(stage.database, SystemThreads()) as locks:
        assert locks.try_acquire("pairing")
        ended = program.run("replay", "pairing")

    assert ended.code == 3
    assert ended.lines[0] == "Connection pairing: another run is working on it."
    assert stage.rows("SELECT count(*) AS runs FROM sync.runs") == [{"runs": 1}]


def test_a_replay_of_an_unknown_connection_is_refused(stage: Stage, tmp_path: Path) -> None:
    """A name that is not configured is bad usage."""
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)

    ended = program.run("replay", "pairings")

    assert (ended.code, ended.lines[0]) == (2, "There is no connection 'pairings'.")
