"""Records that cannot become calls are kept, counted and listed, and are rejects no more once their calls come right."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.model import Verdict
from etl.runs.terms import RunStatus, Want
from etl.sandbox.call import encode
from tests.acceptance.cast import CAST, NAMES, PROVIDERS
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited

HOUR = timedelta(hours=1)


def spoiled(stage: Stage, provider: str) -> tuple[str, dict[str, Any]]:
    """Add a call of an hour ago among others and spoil its cursor; return its id and what it was."""
    stage.history.add(provider, number=3, at=START - 2 * HOUR)
    (call_id,) = stage.history.add(provider, at=START - HOUR)
    good = next(record for record in stage.sandbox.truth(provider) if str(record[CAST[provider].id]) == call_id)
    stage.history.replace(provider, call_id, good | dict.fromkeys(CAST[provider].cursors, "soon"))
    return call_id, good


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_reject_is_resolved_by_the_page_that_brings_its_call_right(stage: Stage, provider: str) -> None:
    """As long as it is listed as it was it is counted, run by run; when its provider mends it the call is there."""
    call_id, good = spoiled(stage, provider)
    first, second = stage.sync(provider), stage.sync(provider)
    before = [(row["call_id"], row["reason"], row["sightings"], row["resolved_at"]) for row in stage.rejects(provider)]
    stage.history.replace(provider, call_id, encode(good))

    third = stage.sync(provider)

    assert [outcome.status for outcome in (first, second, third)] == [RunStatus.SUCCEEDED] * 3
    proof = 1 if CAST[provider].ascending else 0  # a first window's end is shown once more
    assert [stage.run_row(outcome)["rejected"] for outcome in (first, second, third)] == [1 + proof, 1, 0]
    assert before == [(call_id, "bad_cursor", 2 + proof, None)]
    assert call_id in stage.ids(provider)
    (row,) = stage.rejects(provider)
    assert row["resolved_at"] == stage.calls(provider)[call_id]["first_seen_at"]


def test_a_reject_that_is_listed_beside_its_call_stays_one(stage: Stage) -> None:
    """Two records of one id, one of them bad: the good one is the call, the bad one is not forgotten because of it."""
    (call_id,) = stage.history.add("tuple", at=START - HOUR)
    (good,) = stage.sandbox.truth("tuple")
    stage.history.add_records("tuple", [good | {"ended_at": "soon"}], at=START - HOUR)

    for sightings in (2, 3, 4):  # the first sync sees the end of its window once more, as proof
        stage.sync("tuple")
        assert stage.ids("tuple") == {call_id}
        (row,) = stage.rejects("tuple")
        assert (row["sightings"], row["resolved_at"]) == (sightings, None)


def test_a_record_that_goes_wrong_again_is_a_reject_again(stage: Stage) -> None:
    """The same bad record after a good one reopens the reject that it was; the call stays as it was held."""
    call_id, good = spoiled(stage, "krosai")
    stage.sync("krosai")
    stage.history.replace("krosai", call_id, encode(good))
    stage.sync("krosai")
    stage.history.replace("krosai", call_id, good | {"created_at": "soon"})

    stage.sync("krosai")

    (row,) = stage.rejects("krosai")
    assert (row["sightings"], row["resolved_at"]) == (2, None)
    assert call_id in stage.ids("krosai")


def test_a_record_without_an_id_is_open_until_a_repair_finds_it_gone(stage: Stage) -> None:
    """No later page can be known to show it right; once the provider lists it no more, the count says so."""
    stage.history.add("krosai", number=20, at=START - 40 * HOUR)
    (nameless,) = stage.history.add_records("krosai", [{"created_at": "2026-02-27T20:00:00Z"}], at=START - 40 * HOUR)
    stage.sync("krosai")
    stage.history.delete("krosai", nameless)
    stage.history.add("krosai", at=START - HOUR)
    stage.sync("krosai", want=Want(full=True))
    assert [(row["reason"], row["resolved_at"]) for row in stage.rejects("krosai")] == [("missing_id", None)]

    outcome = audited(stage, "krosai", repair=True)

    assert [one.verdict for one in outcome.verdicts] == [Verdict.REPAIRED]
    assert [row["resolved_at"] is None for row in stage.rejects("krosai")] == [False]


def test_the_command_lists_rejects_and_departures_without_the_records(stage: Stage, tmp_path: Path) -> None:
    """Each with where, why, how often and since when; the record itself, which may hold personal data, only when asked for."""
    stage.history.add("tuple", number=2, at=START - HOUR)
    (odd,) = stage.history.add("tuple", at=START - HOUR)
    stage.history.change("tuple", odd, {"mood": "fine"})
    stage.history.add_records("tuple", [{"id": 77, "ended_at": "soon", "note": "a secret of somebody"}, 5], at=START - HOUR)
    stage.sync("tuple")
    stage.sync("tuple")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)

    listed = program.run("rejects", "--json")

    assert listed.code == 0
    found = listed.json
    assert found["open_rejects"] == 2
    plain = [(row["connection"], row["stream"], row["call_id"], row["reason"], row["sightings"]) for row in found["rejects"]]
    assert sorted(plain, key=str) == [
        ("pairing", "calls", "77", "bad_cursor", 3),  # the first sync sees the end of its window once more, as proof
        ("pairing", "calls", None, "not_an_object", 3),
    ]
    assert {(row["reason"], row["stood"], row["accepted"]) for row in found["rejects"]} == {
        ("bad_cursor", "ended_at: a text of 4 characters like aaaa", "a date and time in ISO 8601, such as 2026-03-01T12:00:00Z"),
        ("not_an_object", "a number of 1 digit", "an object"),
    }
    assert {"first_seen_at", "last_seen_at", "record_key"} < found["rejects"][0].keys()
    assert [(one["path"], one["kind"], one["sample"], one["count"]) for one in found["drift"]] == [
        ("mood", "new_field", "string", 1)
    ]
    assert "secret of somebody" not in listed.out + program.run("rejects", "pairing").out
    assert "secret of somebody" in program.run("rejects", "pairing", "--raw").out
    assert [row["raw_text"] for row in program.run("rejects", "--raw", "--json").json["rejects"] if row["call_id"] is None] == [
        "5"
    ]
    lines = program.run("rejects").out.splitlines()
    assert "pairing, not_an_object (1): what stood there: a number of 1 digit; accepted: an object." in lines
    assert lines[0] == "Rejected records"
    assert lines[1].split()[:4] == ["connection", "stream", "call", "reason"]
    assert "Departures from what the providers document" in lines
    assert program.run("rejects", "--limit", "1").out.splitlines()[3] == "… and 1 more: etl rejects --limit N"
    assert program.run("rejects", NAMES["salpre"], "--json").json == {"open_rejects": 0, "rejects": [], "drift": []}


def test_the_status_counts_rejects_and_departures_and_says_where_they_are_listed(stage: Stage, tmp_path: Path) -> None:
    """A resolved reject is not among them."""
    stage.history.add("tuple", number=2, at=START - HOUR)
    stage.history.add_records("tuple", [{"id": 77, "ended_at": "soon"}, 5], at=START - HOUR)
    stage.sync("tuple")
    with stage.database.begin() as session:
        session.exec_driver_sql("UPDATE sync.rejected_records SET resolved_at = now() WHERE call_id IS NULL")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)

    (connection,) = program.run("status", "--json").json["connections"]

    assert (connection["rejects"], connection["drift"]) == (1, 0)
    expected = "pairing: 1 rejected record, see: etl rejects pairing"
    assert expected in program.run("status").out.splitlines()


def test_rejects_of_an_unknown_connection_are_refused(stage: Stage, tmp_path: Path) -> None:
    """A name that is neither configured nor held is bad usage, not an empty list."""
    ended = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path).run("rejects", "pairings")

    assert (ended.code, ended.lines[0]) == (2, "There is no connection 'pairings'.")


def test_an_account_of_which_no_record_can_be_read_is_no_success(stage: Stage, tmp_path: Path) -> None:
    """Every cursor is a number: check and sync fail, and both say what was expected."""
    records = [{"id": f"c{index}", "created_at": 1_772_000_000} for index in range(3)]
    stage.history.add_records("krosai", records, at=START - 3 * HOUR)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)

    synced, checked = program.run("sync", NAMES["krosai"]), program.run("check")

    assert (synced.code, checked.code) == (1, 1)
    for told in (synced, checked):
        assert "a time in created_at, as ISO 8601" in " ".join((told.out + told.err).split())
    assert stage.rows("SELECT status, error_code, inserted FROM sync.runs") == [
        {"status": "failed", "error_code": "nothing_usable", "inserted": 0}
    ]


def test_rejects_are_not_told_as_calls_held(stage: Stage, tmp_path: Path) -> None:
    """The provider counts three calls of which none has an id: the status says that none is held."""
    stage.history.add_records("krosai", [{"created_at": "2026-03-01T08:00:00Z", "n": n} for n in range(3)], at=START - 4 * HOUR)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)
    program.run("sync", NAMES["krosai"])
    program.run("audit", NAMES["krosai"])

    (row,) = program.run("status", "--json").json["connections"]

    assert (row["calls"], row["audit_held_count"], row["audit_provider_count"]) == (0, 0, 3)
    assert "0 of 3 calls, 3 rejected, " in program.run("status").out


def test_a_check_looks_for_a_record_where_the_last_day_has_none(stage: Stage, tmp_path: Path) -> None:
    """Tuple lists by the day: of a quiet account a record of before is looked at, and is found to be no call."""
    records = [{"id": index, "ended_at": "soon"} for index in range(3)]
    stage.history.add_records("tuple", records, at=START - 72 * HOUR)
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path, providers=("tuple",))

    checked = program.run("check")

    assert checked.code == 1
    assert "a time in ended_at, as ISO 8601" in " ".join((checked.out + checked.err).split())


def test_a_check_looks_at_a_call_of_an_agent(stage: Stage, tmp_path: Path) -> None:
    """BimpeAI lists calls by agent: one more request, for a call of the first one, which is found to be none."""
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path, providers=("bimpe",))
    assert program.run("check").code == 0
    stage.history.add_records("bimpe", [{"id": "a", "created_on": "soon"}], at=START - 72 * HOUR)
    stage.sandbox.clear_requests()

    checked = program.run("check")

    assert (checked.code, len(stage.sandbox.requests("bimpe"))) == (1, 2)
    assert "a time in created_on, as ISO 8601" in " ".join((checked.out + checked.err).split())
