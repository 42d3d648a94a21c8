"""`load_page` and `load_details`, on both warehouses: what is new, changed, unchanged, late, older, refused."""

from __future__ import annotations

from datetime import timedelta

from etl.coverage import Spans
from etl.model import Context, Drift, DriftNote
from etl.records.derive import derive
from etl.runs.account import Account
from etl.runs.terms import Loaded
from tests.conformance.conftest import Run, opened
from tests.conformance.worlds import Row, World, decoded
from tests.memory.acme import HUGE, at, call, record, whole_call

TICK = timedelta(microseconds=1)


def row_of(run: Run, listed: Row, *, seen: float, detail: Row | None = None, detail_seen: float | None = None) -> Row:
    """Return the row that these records become, if nothing was held before."""
    provider, connection = run.account.provider, run.account.connection
    entry = derive(
        provider,
        Context(connection=connection, stream=run.stream, currency="USD", run_id=run.run_id),
        record(listed, provider),
        observed_at=at(seen),
        detail=record(detail, provider) if detail is not None else None,
        detail_observed_at=at(detail_seen) if detail_seen is not None else None,
    )
    return decoded(entry.call._asdict())


def children_of(run: Run) -> list[Row]:
    """Return all children of the connection's calls."""
    return [row for table in ("call_participants", "call_messages", "call_events") for row in run.rows(table)]


def test_new_calls_are_written_whole(run: Run) -> None:
    """Every column and every child is as the record says; the page counts them."""
    first, second = whole_call("c1", 0, 0), whole_call("c2", 1, 1)

    assert run.load(first, second, seen=5) == Loaded(inserted=2)
    assert run.rows("calls") == [row_of(run, first, seen=5), row_of(run, second, seen=5)]
    assert [row["email"] for row in run.rows("call_participants")] == ["a0@example.com", "a1@example.com"]
    assert [(row["call_id"], row["position"], row["text"]) for row in run.rows("call_messages")] == [
        ("c1", 1, "text 0"),
        ("c2", 1, "text 1"),
    ]
    assert [(row["event_id"], row["data"]) for row in run.rows("call_events")] == [
        ("e0", {"id": "e0", "type": "type 0"}),
        ("e1", {"id": "e1", "type": "type 1"}),
    ]


def test_an_update_leaves_no_column_as_it_was(world: World, line: Account, other_line: Account) -> None:
    """A record that differs in every field leaves the row, and the children, that it would make if nothing had been held."""
    updated, fresh = opened(world, line), opened(world, other_line)
    before, after = whole_call("c1", 0, 0), whole_call("c1", 700, 1)
    updated.load(before, seen=5)
    held = updated.call("c1")
    again = updated.next()

    assert again.load(after, seen=10, due=at(11)) == Loaded(updated=1)
    fresh.load(after, seen=10, due=at(11))
    expected = fresh.call("c1") | {"connection": line.connection, "first_seen_at": at(5), "last_run_id": again.run_id}
    assert again.call("c1") == expected
    same = {name for name, value in held.items() if again.call("c1")[name] == value}
    kept = {"connection", "call_id", "provider", "currency", "stream", "detail", "detail_observed_at", "first_seen_at"}
    assert same == kept | {"parent_call_id"}
    assert [row | {"connection": ""} for row in children_of(again)] == [row | {"connection": ""} for row in children_of(fresh)]


def test_the_version_before_becomes_history(run: Run) -> None:
    """It was valid from when it was seen to when its successor was; versions count from one."""
    versions = [call("c1", 0, seconds=number) for number in range(3)]
    for number, version in enumerate(versions):
        run.load(version, seen=10 * number)

    assert [
        (row["version"], row["raw"], row["valid_from"], row["valid_to"], row["deleted"], row["first_seen_at"])
        for row in run.rows("call_history")
    ] == [(1, versions[0], at(0), at(10), False, at(0)), (2, versions[1], at(10), at(20), False, at(0))]
    assert (run.call("c1")["duration_seconds"], run.call("c1")["last_changed_at"]) == (2, at(20))


def test_two_versions_of_one_instant_follow_each_other(run: Run) -> None:
    """Of two observations with one instant the later written counts; its validity begins a microsecond later."""
    run.load(call("c1", 0, seconds=1), seen=5)
    assert run.load(call("c1", 0, seconds=2), seen=5) == Loaded(updated=1)

    (version,) = run.rows("call_history")
    assert (version["valid_from"], version["valid_to"]) == (at(5), at(5) + TICK)
    assert (run.call("c1")["duration_seconds"], run.call("c1")["last_changed_at"]) == (2, at(5) + TICK)


def test_the_same_bytes_are_not_written_again(run: Run) -> None:
    """An unchanged call keeps its row, whichever run reads it; it is counted."""
    run.load(call("c1", 0), seen=5)
    before = run.rows("calls")

    assert run.next().load(call("c1", 0), seen=10, due=at(11)) == Loaded(unchanged=1)
    assert (run.rows("calls"), run.rows("call_history")) == (before, [])


def test_the_same_content_in_other_bytes_is_not_written_again(run: Run) -> None:
    """Neither the order of keys nor the next address of a recording is news; the first recording is."""
    run.load(call("c1", 0, seconds=1, recording="https://example.com/1"), seen=5)
    other = dict(reversed(call("c1", 0, seconds=1, recording="https://example.com/2").items()))

    assert run.load(other, seen=10) == Loaded(unchanged=1)
    assert run.load(call("c1", 0, seconds=1, recording=None), seen=15) == Loaded(updated=1)


def test_an_older_observation_never_goes_over_a_newer_one(run: Run) -> None:
    """What was seen before what is held is counted as unchanged, and leaves no trace."""
    run.load(call("c1", 0, seconds=2), seen=10)
    before = run.rows("calls")

    assert run.load(call("c1", 0, seconds=1), seen=5) == Loaded(unchanged=1)
    assert (run.rows("calls"), run.rows("call_history")) == (before, [])


def test_of_one_id_on_a_page_the_last_counts(run: Run) -> None:
    """A call that stands twice on a page is one new call, as it stands there last."""
    assert run.load(call("c1", 0, seconds=1), call("c1", 0, seconds=2), seen=5) == Loaded(inserted=1)
    assert (run.call("c1")["duration_seconds"], run.rows("call_history")) == (2, [])


def test_new_calls_in_what_was_covered_are_late(run: Run) -> None:
    """By how far they lie below its end; neither changed calls nor those outside of it are."""
    run.load(call("held", 10), seen=50)
    covered = Spans([(at(0), at(20)), (at(30), at(40))])
    values = [call("held", 10, seconds=1), *(call(f"c{minute}", minute) for minute in (5, 25, 35, 40))]
    with run.page() as page:
        loaded = run.load_in(page, *values, seen=60, covered=covered)

    assert loaded == Loaded(inserted=4, updated=1, late=2, max_lateness=timedelta(minutes=35))


def test_the_open_calls_of_a_page_are_told(run: Run) -> None:
    """New, changed or unchanged: those that have not ended, and those that had not before the page."""
    opened_calls = [call(name, 0, status="talking") for name in ("stays", "ends", "changes")]
    assert run.load(*opened_calls, call("done", 0), seen=5).open_ids == {"stays", "ends", "changes"}

    after = [opened_calls[0], call("ends", 0), call("changes", 0, status="ringing"), call("done", 0), call("odd", 0, status="?")]
    assert run.load(*after, seen=10) == Loaded(
        inserted=1, updated=2, unchanged=2, open_ids=frozenset({"stays", "ends", "changes", "odd"})
    )


def test_what_departs_from_the_documents_is_counted(run: Run) -> None:
    """By path and kind, with the newest sample, of new and changed calls; an unchanged one says nothing new."""
    run.load(call("c1", 0, novel=1), call("c2", 0, novel=2), call("c3", 0), seen=5)
    run.load(call("c1", 0, novel=1), call("c3", 0, novel=3), seen=10)

    (drift,) = run.rows("sync.schema_drift")
    assert (drift["path"], drift["kind"], drift["count"]) == ("novel", "new_field", 3)
    assert (drift["first_seen_at"], drift["last_seen_at"]) == (at(5), at(10))


def test_a_record_that_the_database_refuses_stops_no_other(run: Run) -> None:
    """Among new and changed calls those that cannot be held become rejects, and all others are written."""
    run.load(call("held", 0, extra=1), call("changes", 0), seen=5)
    values = [call("new", 1), call("bad", 2, extra=HUGE), call("held", 0, extra=HUGE), call("changes", 0, seconds=1)]

    assert run.load(*values, seen=10) == Loaded(inserted=1, updated=1, rejected=2)
    assert run.ids() == ["changes", "held", "new"]
    assert (run.call("held")["raw"]["extra"], run.call("changes")["duration_seconds"]) == (1, 1)
    assert [(row["call_id"], row["reason"]) for row in run.rows("sync.rejected_records")] == [
        ("bad", "database_refused"),
        ("held", "database_refused"),
    ]


def test_what_an_answer_departs_in_is_counted_without_a_record(run: Run) -> None:
    """By a page without a call; what is seen again is counted under its path and kind, with the newest sample."""
    for seen, sample, number in ((5, "br", 2), (10, "zstd", 1)):
        with run.page() as page:
            page.note_drift({DriftNote("content_encoding", Drift.OUT_OF_RANGE, sample): number}, observed_at=at(seen))

    (drift,) = run.rows("sync.schema_drift")
    assert drift == {
        "connection": run.account.connection,
        "path": "content_encoding",
        "kind": "out_of_range",
        "sample": "zstd",
        "count": 3,
        "first_seen_at": at(5),
        "last_seen_at": at(10),
    }
