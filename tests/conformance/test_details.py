"""`load_details`, `ask_for` and `RunWarehouse.due_calls`, on both warehouses."""

from __future__ import annotations

from datetime import datetime, timedelta

from etl.model import JSON, Derived
from etl.runs.loading_details import Told, load_details
from etl.runs.terms import DueCall, Loaded
from tests.conformance.conftest import Run
from tests.memory.acme import HUGE, at, call, record, whole_call


def test_a_detail_is_written_over_its_call(run: Run) -> None:
    """What only the detail knows is in the row, children included; the version before it is kept."""
    run.load(call("c1", 0), seen=5, due=at(5))
    detail = whole_call("c1", 0, 1)

    assert run.load_detail(detail, seen=6) == Loaded(updated=1)
    held = run.call("c1")
    assert (held["raw"], held["detail"], held["transcript"]) == (call("c1", 0), detail, "words 1")
    assert (held["observed_at"], held["detail_observed_at"], held["last_changed_at"]) == (at(5), at(6), at(6))
    assert (held["detail_due_at"], held["first_seen_at"]) == (None, at(5))
    assert [row["text"] for row in run.rows("call_messages")] == ["text 1"]
    assert [(row["version"], row["detail"]) for row in run.rows("call_history")] == [(1, None)]


def test_a_detail_that_says_nothing_new_only_gets_its_next_date(run: Run) -> None:
    """No version, no other column: the call is as it was, and asked for again when `due` says."""
    run.load(call("c1", 0), seen=5)
    run.load_detail(call("c1", 0, transcript="hello"), seen=6)
    before = run.call("c1")

    assert run.load_detail(call("c1", 0, transcript="hello"), seen=7, due=at(9)) == Loaded(unchanged=1)
    assert run.call("c1") == before | {"detail_due_at": at(9)}
    assert len(run.rows("call_history")) == 1


def test_a_null_in_a_later_list_record_wipes_nothing(run: Run) -> None:
    """The list never carries a transcript: where it changes elsewhere, what the detail said of it stays."""
    run.load(call("c1", 0, transcript=None), seen=5)
    run.load_detail(call("c1", 0, transcript="hello"), seen=6)

    assert run.load(call("c1", 0, transcript=None, why="hung up"), seen=7) == Loaded(updated=1)
    held = run.call("c1")
    assert (held["transcript"], held["end_reason"], held["detail_observed_at"]) == ("hello", "hung up", at(6))


def test_a_detail_that_is_the_same_still_makes_the_row_what_it_says(run: Run) -> None:
    """A list that lags behind reopened the call after its detail had ended it; the same detail, seen later, ends it again."""
    run.load(call("c1", 0, status="talking"), seen=5)
    run.load_detail(call("c1", 0, seconds=30), seen=6)
    run.load(call("c1", 0, status="talking", why="muted"), seen=7)
    assert run.call("c1")["status"] == "in_progress"

    assert run.load_detail(call("c1", 0, seconds=30), seen=8) == Loaded(updated=1)
    held = run.call("c1")
    assert (held["status"], held["end_reason"], held["duration_seconds"]) == ("completed", "muted", 30)
    assert (held["observed_at"], held["detail_observed_at"], held["detail_due_at"]) == (at(7), at(8), None)
    assert [row["status"] for row in run.rows("call_history")] == ["in_progress", "completed", "in_progress"]


def test_the_same_list_record_seen_after_a_detail_is_an_observation(run: Run) -> None:
    """There and back again: the list said 300, the detail 301, and now the list says 300: so does the row. Then all is quiet."""
    run.load(call("c1", 0, seconds=300), call("c2", 0, seconds=5), seen=5)
    run.load_detail(call("c1", 0, seconds=301, transcript="hello"), seen=6)
    run.load_detail(call("c2", 0, seconds=5, transcript="hi"), seen=6)
    quiet = run.call("c2")

    again = (call("c1", 0, seconds=300), call("c2", 0, seconds=5))
    assert run.load(*again, seen=7, due=at(7)) == Loaded(updated=1, unchanged=1)
    held = run.call("c1")
    assert (held["duration_seconds"], held["transcript"], held["detail_due_at"]) == (300, "hello", None)
    assert (held["observed_at"], held["detail_observed_at"], held["last_changed_at"]) == (at(7), at(6), at(7))
    assert run.call("c2") == quiet
    before = run.rows("calls")
    assert run.load(*again, seen=8, due=at(8)) == Loaded(unchanged=2)
    assert run.rows("calls") == before


def test_a_call_that_the_same_list_record_reopens_is_asked_for(run: Run) -> None:
    """Nothing stays open with nothing due."""
    run.load(call("c1", 0, status="talking"), seen=5)
    run.load_detail(call("c1", 0), seen=6)

    run.load(call("c1", 0, status="talking"), seen=7, due=at(7))
    assert (run.call("c1")["status"], run.dues()) == ("in_progress", ["c1"])


def test_a_disagreement_of_no_column_writes_nothing(run: Run) -> None:
    """An address that was signed anew, a late part that is empty, a key that nobody reads."""
    listed = call("c1", 0, recording="https://example.com/1", transcript="", other=1)
    run.load(listed, seen=5)
    run.load_detail(call("c1", 0, recording="https://example.com/2", transcript="hello", other=2), seen=6)
    before = run.rows("calls")

    assert run.load(listed, seen=7, due=at(7)) == Loaded(unchanged=1)
    assert run.rows("calls") == before


def test_a_detail_that_is_the_same_writes_nothing_where_a_later_list_agrees(run: Run) -> None:
    """The list record changed where the detail says nothing: the row holds already what both say."""
    run.load(call("c1", 0), seen=5)
    run.load_detail(call("c1", 0, transcript="hello"), seen=6)
    run.load(call("c1", 0, why="hung up"), seen=7)
    before = run.call("c1")

    assert run.load_detail(call("c1", 0, transcript="hello"), seen=8, due=at(9)) == Loaded(unchanged=1)
    assert run.call("c1") == before | {"detail_due_at": at(9)}


def test_the_next_date_is_told_by_what_the_call_became(run: Run) -> None:
    """`due` is given the derived call and the decoded detail."""
    run.load(call("c1", 0, status="talking"), seen=5)
    told: list[tuple[str, JSON]] = []

    def due(entry: Derived, detail: JSON) -> datetime | None:
        told.append((entry.call.status, detail))
        return at(30)

    with run.page() as page:
        load_details(page, run.account, [Told("calls", "c1", record(call("c1", 0)), at(6))], run_id=run.run_id, due=due)

    assert told == [("completed", call("c1", 0))]
    assert run.call("c1")["detail_due_at"] == at(30)


def test_an_older_detail_never_goes_over_a_newer_one(run: Run) -> None:
    """What was asked for before the detail held leaves no trace and counts for nothing; it is said how much older it is."""
    run.load(call("c1", 0), seen=5)
    run.load_detail(call("c1", 0, transcript="later"), seen=8)
    before = run.rows("calls")

    assert run.load_detail(call("c1", 0, transcript="earlier"), seen=7, due=at(9)) == Loaded(older_by=timedelta(minutes=1))
    assert (run.rows("calls"), len(run.rows("call_history"))) == (before, 1)


def test_a_detail_of_a_call_that_is_not_held_is_passed_over(run: Run) -> None:
    """It was buried, or never listed."""
    assert run.load_detail(call("c1", 0), seen=6) == Loaded()
    assert run.rows("calls") == []


def test_a_list_record_keeps_the_detail_that_is_held(run: Run) -> None:
    """Of what both know the later observation counts; what only the detail knows stays, and the detail is due again."""
    run.load(call("c1", 0, seconds=1), seen=5)
    run.load_detail(call("c1", 0, seconds=2, transcript="hello"), seen=6)

    assert run.load(call("c1", 0, seconds=3), seen=7, due=at(8)) == Loaded(updated=1)
    held = run.call("c1")
    assert (held["duration_seconds"], held["transcript"], held["detail_observed_at"]) == (3, "hello", at(6))
    assert held["detail_due_at"] == at(8)


def test_a_detail_that_the_database_refuses_is_a_reject_and_stays_due(run: Run) -> None:
    """The call keeps what it had; the reject names the call, whatever id the detail itself has."""
    run.load(call("c1", 0), seen=5, due=at(5))
    before = run.rows("calls")

    assert run.load_detail(call("1", 0, extra=HUGE), seen=6, call_id="c1") == Loaded(rejected=1)
    assert run.rows("calls") == before
    (reject,) = run.rows("sync.rejected_records")
    assert (reject["call_id"], reject["reason"], reject["resolved_at"]) == ("c1", "database_refused", None)


def test_a_detail_that_is_taken_resolves_what_was_refused_of_its_call(run: Run) -> None:
    """The record that the database had refused is a reject no more; those of other calls, and of other kinds, are."""
    run.load(call("c1", 0), call("c2", 0), call("c1", 0, created="never"), seen=5)
    for call_id in ("c1", "c2"):
        run.load_detail(call(call_id, 0, extra=HUGE), seen=6)
    again = run.next()

    again.load_detail(call("c1", 0, extra=1), seen=7)
    assert {(row["call_id"], row["reason"]): row["resolved_at"] for row in run.rows("sync.rejected_records")} == {
        ("c1", "bad_cursor"): None,
        ("c1", "database_refused"): at(7),
        ("c2", "database_refused"): None,
    }


def test_what_is_asked_for_is_due_and_no_news(run: Run) -> None:
    """Calls that are held get the date and nothing else; what is not held is passed over."""
    run.load(call("c1", 0), call("c2", 0), seen=5)
    before = run.call("c1")
    with run.page() as page:
        page.ask_for(["c1", "unknown"], due_at=at(7))

    assert run.call("c1") == before | {"detail_due_at": at(7)}
    assert (run.dues(), run.ids(), run.rows("call_history")) == (["c1"], ["c1", "c2"], [])


def test_what_is_due_comes_newest_first(run: Run) -> None:
    """Of all streams of the connection, up to the instant (included) and the limit; of one instant in the order of ids."""
    run.load(call("old", 0), call("b", 1), call("a", 1), call("never", 3), seen=5)
    run.load(call("open", 2, status="talking"), seen=5, stream="other", due=at(6))
    with run.page() as page:
        page.ask_for(["old", "a", "b"], due_at=at(7))
    name = run.account.connection

    due = (
        DueCall("other", "open", True, at(2)),
        DueCall("calls", "a", False, at(1)),
        DueCall("calls", "b", False, at(1)),
        DueCall("calls", "old", False, at(0)),
    )
    assert run.warehouse.due_calls(name, now=at(7), limit=10) == due
    assert run.warehouse.due_calls(name, now=at(7), limit=2) == due[:2]
    assert run.warehouse.due_calls(name, now=at(6.9), limit=10) == due[:1]
    assert run.warehouse.due_calls(name, now=at(7), limit=1, only_open=True) == due[:1]
    assert run.warehouse.due_calls("another", now=at(7), limit=10) == ()


def test_open_calls_are_found_behind_whatever_else_is_due(run: Run) -> None:
    """With `only_open` the limit counts open calls alone."""
    run.load(call("open", 0, status="talking"), call("b", 1), call("a", 2), seen=5, due=at(6))

    due = run.warehouse.due_calls(run.account.connection, now=at(7), limit=1, only_open=True)
    assert due == (DueCall("calls", "open", True, at(0)),)


# Details that cannot be had


def failures(run: Run) -> dict[str, int]:
    """Return how often in a row the details of the calls that are due have failed."""
    return {one.call_id: one.failures for one in run.warehouse.due_calls(run.account.connection, now=at(999), limit=99)}


def test_a_failure_is_counted_with_its_call_and_sets_the_next_date(run: Run) -> None:
    """Nothing else of the call changes, no version comes of it, and what is not held is passed over."""
    run.load(call("c1", 0), call("c2", 0), seen=5, due=at(5))
    before = run.rows("calls")
    for minute in (6, 7):
        with run.page() as page:
            page.detail_failed({"c1": at(minute), "unknown": at(minute)})

    assert run.rows("calls") == [before[0] | {"detail_due_at": at(7)}, before[1]]
    assert (failures(run), run.rows("call_history")) == ({"c1": 2, "c2": 0}, [])
    with run.page() as page:
        assert {call_id: held.detail_failures for call_id, held in page.held(["c1", "c2"]).items()} == {"c1": 2, "c2": 0}


def test_failing_details_are_counted_by_stream(run: Run) -> None:
    """Those of calls that are held, whenever they are asked for again; a stream without any is left out."""
    run.load(call("a1", 0), call("a2", 0), call("a3", 0), seen=5, stream="a", due=at(5))
    run.load(call("b1", 0), seen=5, stream="b", due=at(5))
    run.load(call("c1", 0), seen=5, stream="c", due=at(5))
    with run.page() as page:
        page.detail_failed({"c1": at(600), "a1": at(6), "a2": at(6)})

    assert run.warehouse.failing_details(run.account.connection) == {"a": 2, "c": 1}
    assert run.warehouse.failing_details("another") == {}
    with run.page() as page:
        page.bury(["a1", "c1"], gone_at=at(9))
    assert run.warehouse.failing_details(run.account.connection) == {"a": 1}


def test_a_detail_that_comes_ends_the_count(run: Run) -> None:
    """Whether it says something new or not; one that the database refuses does not, and a list record that changed does not."""
    for call_id in ("new", "same", "huge", "listed"):
        run.load(call(call_id, 0), seen=5, due=at(5))
    run.load_detail(call("same", 0, seconds=1), seen=6, due=at(6))
    with run.page() as page:
        page.detail_failed(dict.fromkeys(("new", "same", "huge", "listed"), at(7)))

    run.load_detail(call("new", 0, seconds=1), seen=8, due=at(9))
    run.load_detail(call("same", 0, seconds=1), seen=8, due=at(9))
    run.load_detail(call("huge", 0, extra=HUGE), seen=8, due=at(9))
    run.load(call("listed", 0, seconds=2), seen=8, due=at(9))
    assert failures(run) == {"new": 0, "same": 0, "huge": 1, "listed": 1}


def test_a_call_that_comes_back_begins_anew(run: Run) -> None:
    """What failed before it was buried counts no more."""
    run.load(call("c1", 0), seen=5, due=at(5))
    with run.page() as page:
        page.detail_failed({"c1": at(6)})
    with run.page() as page:
        page.bury(["c1"], gone_at=at(7))
    run.load(call("c1", 0), seen=8, due=at(8))

    assert failures(run) == {"c1": 0}


def test_what_is_due_says_whether_a_detail_ever_came(run: Run) -> None:
    """The one of c1 did."""
    run.load(call("c1", 0), call("c2", 0), seen=5, due=at(5))
    run.load_detail(call("c1", 0), seen=6, due=at(7))

    due = run.warehouse.due_calls(run.account.connection, now=at(8), limit=9)
    assert {one.call_id: one.has_detail for one in due} == {"c1": True, "c2": False}
