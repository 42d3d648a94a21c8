"""A page's transaction, on both warehouses: the fence, all or nothing, absent and buried calls, and what is saved beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl.coverage import Spans
from etl.errors import FenceLost
from etl.model import AgentRow
from etl.runs.loading_details import Told, load_details
from etl.runs.state import StreamState
from etl.runs.terms import Absent, Counters, Loaded
from tests.conformance.conftest import Run
from tests.conformance.worlds import COLUMNS
from tests.memory.acme import HUGE, at, call, whole_call

TABLES = tuple(COLUMNS)


class Trouble(Exception):
    """Whatever goes wrong inside a page."""


def write_everything(run: Run) -> None:
    """Write something of every kind in one page, and fail before it is committed."""
    with run.page() as page:
        run.load_in(page, whole_call("new", 9, 1), call("bad", 9, extra=HUGE), seen=20)
        run.load_in(page, call("held", 0, seconds=5, novel=1), seen=20)
        told = Told("calls", "held", run.observed(call("held", 0, transcript="x"), seen=21).records[0], at(21))
        load_details(page, run.account, [told], run_id=run.run_id, due=lambda entry, detail: at(30))
        page.ask_for(["held"], due_at=at(40))
        page.bury(["gone"], gone_at=at(20))
        page.save_state("calls", StreamState(start=None, coverage=Spans([(at(0), at(20))])))
        page.save_agents([AgentRow("a1", "Ann", "on")], observed_at=at(20))
        page.close_agent("a0", observed_at=at(20))
        page.pin_organization("org")
        page.save_connection(capabilities={"style": "page"})
        page.save_counters(Counters(pages=7))
        raise Trouble


def test_a_page_that_fails_leaves_nothing(run: Run) -> None:
    """Calls, children, history, rejects, drift, state, agents, the connection, the run: all are as before."""
    run.load(call("held", 0), call("gone", 1), seen=5)
    with run.page() as page:
        page.save_agents([AgentRow("a0", None, None)], observed_at=at(5))
    before = {table: run.rows(table) for table in TABLES}

    with pytest.raises(Trouble):
        write_everything(run)

    assert {table: run.rows(table) for table in TABLES} == before


def test_what_is_not_committed_is_seen_by_the_page_alone(run: Run) -> None:
    """The page's own questions know what it has written; the warehouse's do not, until it is committed."""
    name = run.account.connection
    with run.page() as page:
        run.load_in(page, call("c1", 0), seen=5)
        assert page.absent(stream="calls", read=Spans([(at(0), at(1))]), seen=[]) == Absent(1, frozenset({"c1"}))
        assert run.warehouse.count(connection=name, stream="calls") == 0
    assert run.warehouse.count(connection=name, stream="calls") == 1


def test_a_run_that_was_taken_over_writes_no_more(run: Run) -> None:
    """Its next page is refused before anything is done; the owner's goes on, and what was committed stays."""
    run.load(call("c1", 0), seen=5)
    owner = run.next()

    with pytest.raises(FenceLost), run.page():
        pytest.fail("the page was opened")
    owner.load(call("c2", 0), seen=6)
    assert run.ids() == ["c1", "c2"]


def test_absent_are_the_calls_held_where_was_read_and_not_seen(run: Run) -> None:
    """Of this stream and these spans, their ends excluded; whoever saw a call, it is not absent."""
    run.load(*(call(f"c{minute}", minute) for minute in range(6)), seen=10)
    run.load(call("other", 1), seen=10, stream="other")
    read = Spans([(at(1), at(3)), (at(4), at(5))])
    with run.page() as page:
        assert page.absent(stream="calls", read=read, seen=[{"c1"}, ["c0", "other"]]) == Absent(3, frozenset({"c2", "c4"}))
        assert page.absent(stream="calls", read=Spans(), seen=[]) == Absent(0, frozenset())


def test_what_is_loaded_after_absent_was_asked_is_compared_with_what_is_held(run: Run) -> None:
    """Asking first changes nothing of what loading finds: new, changed, unchanged, older, open."""
    held = [call("same", 0), call("open", 1, status="talking"), call("changes", 2), call("newer", 3), call("outside", 9)]
    run.load(*held, seen=10)
    run.load(call("newer", 3, seconds=9), seen=30)
    values = [held[0], held[1], call("changes", 2, seconds=1), call("newer", 3, seconds=8), held[4], call("new", 4)]
    with run.page() as page:
        page.absent(stream="calls", read=Spans([(at(0), at(5))]), seen=[])
        loaded = run.load_in(page, *values, seen=20)

    assert loaded == Loaded(inserted=1, updated=1, unchanged=4, open_ids=frozenset({"open"}))
    assert (run.call("newer")["duration_seconds"], run.call("changes")["duration_seconds"]) == (9, 1)


def test_a_buried_call_leaves_for_the_history_its_children_with_it(run: Run) -> None:
    """No row of it stays in any table but the history's; calls beside it stay, and what is not held counts for nothing."""
    run.load(whole_call("c1", 0, 1), whole_call("c2", 0, 0), seen=5)
    with run.page() as page:
        assert page.bury(["c1", "unknown"], gone_at=at(9)) == 1

    tables = ("calls", "call_participants", "call_messages", "call_events")
    assert {table: {row["call_id"] for row in run.rows(table)} for table in tables} == {table: {"c2"} for table in tables}
    (version,) = run.rows("call_history")
    assert (version["call_id"], version["version"], version["deleted"], version["raw"]) == ("c1", 1, True, whole_call("c1", 0, 1))
    assert (version["valid_from"], version["valid_to"]) == (at(5), at(9))
    with run.page() as page:
        assert page.bury(["c1"], gone_at=at(10)) == 0


def test_a_buried_call_that_is_listed_again_comes_back(run: Run) -> None:
    """As a new call, seen first when it came back; its versions count on."""
    run.load(call("c1", 0, seconds=1), seen=5)
    with run.page() as page:
        page.bury(["c1"], gone_at=at(9))

    assert run.load(call("c1", 0, seconds=1), seen=12) == Loaded(inserted=1)
    assert (run.call("c1")["first_seen_at"], run.call("c1")["detail"]) == (at(12), None)
    run.load(call("c1", 0, seconds=2), seen=14)
    assert [(row["version"], row["deleted"], row["valid_from"], row["valid_to"]) for row in run.rows("call_history")] == [
        (1, True, at(5), at(9)),
        (2, False, at(12), at(14)),
    ]


def test_a_call_that_changed_and_is_gone_in_one_page_has_both_versions(run: Run) -> None:
    """What a page did before counts for what it does next."""
    run.load(call("c1", 0, seconds=1), seen=5)
    with run.page() as page:
        run.load_in(page, call("c1", 0, seconds=2), seen=8)
        page.bury(["c1"], gone_at=at(8))

    assert [(row["version"], row["deleted"], row["raw"]["seconds"]) for row in run.rows("call_history")] == [
        (1, False, 1),
        (2, True, 2),
    ]
    assert run.rows("calls") == []


def test_the_state_of_a_stream_comes_back_as_it_was_saved(run: Run) -> None:
    """But for `start`, which is configured, not remembered; the mark is kept beside it for people."""
    first = StreamState(start=at(0), coverage=Spans([(at(0), at(9)), (at(20), at(30))]), settled=Spans([(at(0), at(7))]))
    second = StreamState(start=None, coverage=Spans([(at(2), at(9))]), horizon=at(2), closed_at=at(9))
    for stream, state in (("calls", first), ("other", second)):
        with run.page() as page:
            page.save_state(stream, state)

    assert run.warehouse.streams(run.account.connection) == {"calls": replace(first, start=None), "other": second}
    assert run.warehouse.remembered(run.account.connection).streams == run.warehouse.streams(run.account.connection)
    assert [row["high_water_mark"] for row in run.rows("sync.state")] == [at(9), at(9)]
    with run.page() as page:
        page.save_state("other", StreamState(start=None))
    assert run.warehouse.streams(run.account.connection)["other"] == StreamState(start=None)
    assert run.warehouse.streams("another") == {}


def test_agents_are_kept_as_they_are_listed(run: Run) -> None:
    """New, renamed, changed or back ones are written; one that is as it was known is seen again once a day."""
    days = 24 * 60
    agents = [AgentRow("a1", "Ann", "on"), AgentRow("a2", "Bob", "on"), AgentRow("a3", None, None)]
    with run.page() as page:
        page.save_agents(agents, observed_at=at(0))
        page.close_agent("a3", observed_at=at(1))
        page.close_agent("unknown", observed_at=at(1))
    with run.page() as page:
        page.save_agents([agents[0], AgentRow("a2", "Bob", "off"), agents[2], AgentRow("a4", "Eve", "on")], observed_at=at(60))

    columns = ("agent_id", "name", "status", "first_seen_at", "last_seen_at", "closed_at")
    assert [tuple(row[name] for name in columns) for row in run.rows("agents")] == [
        ("a1", "Ann", "on", at(0), at(0), None),
        ("a2", "Bob", "off", at(0), at(60), None),
        ("a3", None, None, at(0), at(60), None),
        ("a4", "Eve", "on", at(60), at(60), None),
    ]
    with run.page() as page:
        page.save_agents([agents[0]], observed_at=at(days + 1))
        page.close_agent("a4", observed_at=at(days + 1))
    assert [(row["last_seen_at"], row["closed_at"]) for row in run.rows("agents")] == [
        (at(days + 1), None),
        (at(60), None),
        (at(60), None),
        (at(60), at(days + 1)),
    ]


def test_what_was_found_out_and_the_organisation_are_remembered(run: Run) -> None:
    """Each stays until it is saved again, whatever else a page saves."""
    name = run.account.connection
    assert run.warehouse.remembered(name) == ({}, None, {})
    with run.page() as page:
        page.pin_organization("org")
    with run.page() as page:
        page.save_connection(capabilities={"style": "page"})

    assert run.next().warehouse.remembered(name) == ({"style": "page"}, "org", {})


def test_the_counters_of_a_run_stand_in_its_row(run: Run) -> None:
    """As they were when the page was committed."""
    counters = Counters(requests=3, pages=1, inserted=2, max_lateness=at(5) - at(0))
    with run.page() as page:
        page.save_counters(counters)
    counters.pages = 2

    (row,) = run.rows("sync.runs")
    assert {name: row[name] for name in Counters.__slots__} == {
        **{name: getattr(Counters(), name) for name in Counters.__slots__},
        "requests": 3,
        "pages": 1,
        "inserted": 2,
        "max_lateness": at(5) - at(0),
    }
