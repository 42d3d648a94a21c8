"""Records that cannot become rows, on both warehouses: each is kept once, counted, and resolved when its call comes right."""

from __future__ import annotations

import pytest

from etl.model import JSON
from etl.runs.terms import Loaded
from tests.conformance.conftest import Run
from tests.memory.acme import HUGE, at, call

LONG = "c" * 600
BAD: dict[str, JSON] = {
    "not_an_object": "words",
    "missing_id": {"created": "2026-03-01T12:00:00+00:00"},
    "bad_cursor": {"id": "c1", "created": "never"},
    "id_too_long": {"id": LONG, "created": "2026-03-01T12:00:00+00:00"},
}


def resolved(run: Run) -> dict[str, object]:
    """Return when each reject was resolved, by the id of its call."""
    return {row["call_id"]: row["resolved_at"] for row in run.rows("sync.rejected_records")}


@pytest.mark.parametrize("reason", BAD)
def test_a_record_that_cannot_become_a_row_is_kept_with_its_reason(run: Run, reason: str) -> None:
    """Its text is kept as it came; others of its page are loaded. An id that is too long is not kept beside it."""
    assert run.load(BAD[reason], call("good", 0), seen=5) == Loaded(inserted=1, rejected=1)

    (reject,) = run.rows("sync.rejected_records")
    assert (reject["reason"], reject["call_id"]) == (reason, "c1" if reason == "bad_cursor" else None)
    assert (reject["first_seen_at"], reject["last_seen_at"], reject["sightings"]) == (at(5), at(5), 1)
    assert ('"words"' in reject["raw_text"]) == (reason == "not_an_object")
    assert run.ids() == ["good"]


def test_a_bad_record_that_is_seen_again_is_the_same_reject(run: Run) -> None:
    """One row, its sightings counted; twice on one page is one sighting. Another record, or stream, has a row of its own."""
    run.load(BAD["bad_cursor"], BAD["bad_cursor"], seen=5)
    run.load(BAD["bad_cursor"], seen=6)
    run.load(BAD["bad_cursor"], seen=7, stream="other")

    assert [(row["stream"], row["first_seen_at"], row["last_seen_at"], row["sightings"]) for row in resolved_rows(run)] == [
        ("calls", at(5), at(6), 2),
        ("other", at(7), at(7), 1),
    ]


def resolved_rows(run: Run) -> list[dict[str, object]]:
    """Return the rejects, those that are resolved among them."""
    return run.rows("sync.rejected_records")


def test_a_volatile_address_makes_no_new_reject(run: Run) -> None:
    """A bad record with a presigned URL is the same one at every reading."""
    for number in (1, 2):
        run.load({"id": "c1", "created": "never", "recording": f"https://example.com/{number}"}, seen=number)

    assert [row["sightings"] for row in resolved_rows(run)] == [2]


def test_a_call_that_stands_in_another_stream_is_a_reject_there(run: Run) -> None:
    """The row that is held stays as it is, whatever the other stream says of it."""
    run.load(call("c1", 0), seen=5)
    before = run.rows("calls")

    assert run.load(call("c1", 0, seconds=1), seen=6, stream="other") == Loaded(rejected=1)
    assert run.rows("calls") == before
    assert [(row["stream"], row["call_id"], row["reason"]) for row in resolved_rows(run)] == [
        ("other", "c1", "id_in_two_streams")
    ]


def test_a_reject_is_resolved_when_its_call_comes_right(run: Run) -> None:
    """At the instant at which it was seen as it should be; the reject of another call, or stream, stays open."""
    bad = [{"id": call_id, "created": "never"} for call_id in ("c1", "c2")]
    run.load(*bad, seen=5)
    run.load(bad[0] | {"created": "ever"}, seen=5, stream="other")

    run.next().load(call("c1", 0), call("c3", 0), seen=9)
    assert [(row["stream"], row["call_id"], row["resolved_at"]) for row in resolved_rows(run)] == [
        ("calls", "c1", at(9)),
        ("calls", "c2", None),
        ("other", "c1", None),
    ]


def test_a_reject_that_comes_right_in_the_run_that_met_it_is_resolved(run: Run) -> None:
    """Also where the connection had none when the run began: what is settled then is not read again."""
    run.load({"id": "c1", "created": "never"}, seen=5)
    run.load(call("c1", 0), seen=6)

    assert resolved(run) == {"c1": at(6)}


def test_a_reject_of_the_same_page_is_not_resolved(run: Run) -> None:
    """A page that shows a call both as it should be and not leaves the reject open: nothing tells which is the later."""
    run.load({"id": "c1", "created": "never"}, seen=5)
    run.next().load(call("c1", 0), {"id": "c1", "created": "never"}, call("c2", 0), {"id": "c2", "created": "?"}, seen=9)

    assert (resolved(run), run.ids()) == ({"c1": None, "c2": None}, ["c1", "c2"])


def test_a_reject_that_was_seen_later_is_not_resolved(run: Run) -> None:
    """What is loaded of an earlier instant says nothing of what came after it."""
    run.load({"id": "c1", "created": "never"}, seen=9)
    run.next().load(call("c1", 0), seen=5)

    assert resolved(run) == {"c1": None}


def test_a_resolved_reject_that_is_seen_again_is_open_again(run: Run) -> None:
    """It is one row all the same."""
    bad = {"id": "c1", "created": "never"}
    run.load(bad, seen=5)
    run.next().load(call("c1", 0), seen=6)
    assert resolved(run) == {"c1": at(6)}
    run.next().load(bad, seen=7)

    (reject,) = resolved_rows(run)
    assert (reject["resolved_at"], reject["sightings"], reject["last_seen_at"]) == (None, 2, at(7))


def test_what_the_database_refused_is_resolved_by_a_record_that_it_takes(run: Run) -> None:
    """The next record of the call that can be held makes an end of it."""
    run.load(call("c1", 0, extra=HUGE), seen=5)
    run.next().load(call("c1", 0, extra=1), seen=6)

    assert (resolved(run), run.ids()) == ({"c1": at(6)}, ["c1"])


# Calls that move from one stream to another


@pytest.mark.parametrize("in_advance", [False, True], ids=["looked up", "drafted in advance"])
def test_a_call_that_moves_takes_its_row_along(run: Run, *, in_advance: bool) -> None:
    """It stands where it is listed now, first seen when it was, with its detail and children; the detail is asked for anew."""
    run.load(call("c1", 0), call("c2", 0), seen=5)
    run.load_detail(call("c1", 0, transcript="hello", messages=[{"id": "m1", "text": "hello"}]), seen=6)
    before, children = run.call("c1"), run.rows("call_messages")
    run.in_advance = in_advance

    assert run.load(call("c1", 0), seen=7, stream="other", due=at(7), moved=True) == Loaded(updated=1)
    moved = {"stream": "other", "observed_at": at(7), "last_changed_at": at(7), "detail_due_at": at(7)}
    assert (run.call("c1"), run.rows("call_messages")) == (before | moved, children)
    assert [(row["version"], row["stream"], row["deleted"]) for row in run.rows("call_history")] == [
        (1, "calls", False),
        (2, "calls", False),
    ]
    assert (run.rows("sync.rejected_records"), run.call("c2")["stream"]) == ([], "calls")


def test_a_call_that_moves_resolves_the_reject_that_it_was(run: Run) -> None:
    """It stood in both lists for a while."""
    run.load(call("c1", 0), seen=5)
    run.load(call("c1", 0), seen=6, stream="other")
    again = run.next()

    assert again.load(call("c1", 0), seen=7, stream="other", moved=True) == Loaded(updated=1)
    assert [(row["reason"], row["resolved_at"]) for row in resolved_rows(run)] == [("id_in_two_streams", at(7))]


def test_a_call_does_not_move_by_an_older_page(run: Run) -> None:
    """What is held was observed later: neither a row nor a reject is written."""
    run.load(call("c1", 0), seen=8)
    before = run.rows("calls")

    assert run.load(call("c1", 0, seconds=1), seen=7, stream="other", moved=True) == Loaded()
    assert (run.rows("calls"), run.rows("call_history"), run.rows("sync.rejected_records")) == (before, [], [])


def test_while_nobody_knows_whether_a_call_has_moved_nothing_is_written(run: Run) -> None:
    """Neither its row, nor a reject, nor is an earlier reject resolved; what stands beside it on the page is loaded."""
    run.load(call("c1", 0), seen=5)
    run.load(call("c1", 0), seen=6, stream="other")
    again = run.next()
    before, rejects = run.rows("calls"), resolved_rows(run)

    assert again.load(call("c1", 0), call("c2", 0), seen=7, stream="other", moved=None) == Loaded(inserted=1)
    assert (run.rows("calls")[:1], resolved_rows(run), run.ids()) == (before, rejects, ["c1", "c2"])
