"""What a page's transaction is asked to look up and to write, one by one, on both warehouses."""

from __future__ import annotations

import pytest

from etl.model import Derived
from etl.records.derive import derive
from etl.runs.loading import context_of, drafted
from etl.runs.terms import Loaded
from tests.conformance.conftest import Run
from tests.memory.acme import HUGE, at, call, record, whole_call


def derived(run: Run, value: dict[str, object], *, seen: float) -> Derived:
    """Return what a record becomes."""
    context = context_of(run.account, run.stream, run_id=run.run_id)
    return derive(run.account.provider, context, record(value), observed_at=at(seen))


@pytest.mark.parametrize("plain", [True, False])
def test_what_is_drafted_in_advance_is_written_as_it_would_be_without(run: Run, plain: bool) -> None:
    """Whether the records are made columns at once (where all are as documented) or rows one by one."""
    values = [whole_call("c1", 0, 0) | {"messages": [], "events": []}, whole_call("c2", 1, 1) | {"messages": [], "events": []}]
    values += [] if plain else [call("odd", 2, novel=1)]
    run.load(*values, seen=5)
    expected = {table: run.rows(table) for table in ("calls", "call_participants")}
    with run.page() as page:
        page.bury([value["id"] for value in values], gone_at=at(6))
    run.in_advance = True

    assert run.load(*values, seen=5) == Loaded(inserted=len(values))
    assert {table: run.rows(table) for table in expected} == expected


@pytest.mark.parametrize("spoiled", [call("held", 0, seconds=9), call("bad", 0, extra=HUGE)], ids=["held", "refused"])
def test_a_draft_of_which_one_call_cannot_be_written_writes_none(run: Run, spoiled: dict[str, object]) -> None:
    """The page's transaction goes on, and everything is written as if nothing had been drafted."""
    run.load(call("held", 0), seen=5)
    observed = run.observed(call("new", 1), spoiled, seen=6)
    draft = run.warehouse.encoded(drafted(run.account, observed, run_id=run.run_id, known=()))
    with run.page() as page:
        assert page.copy(draft) is False
        assert page.held(["new", "bad"]) == {}
        loaded = run.load_in(page, call("new", 1), spoiled, seen=6)

    assert loaded == (Loaded(inserted=1, updated=1) if spoiled["id"] == "held" else Loaded(inserted=1, rejected=1))
    assert run.ids() == ["held", "new"]


def test_records_are_compared_with_what_is_held(run: Run) -> None:
    """New, held in another stream, of other bytes; in none of these is what repeats, or was observed before what is held."""
    held = [call("same", 0), call("changes", 0, status="talking"), call("newer", 0)]
    run.load(*held, seen=5)
    run.load(call("newer", 0, seconds=1), seen=9)
    run.load(call("elsewhere", 0, status="talking"), seen=5, stream="other")
    values = [call("new", 1), call("changes", 0), held[0], held[2], call("elsewhere", 0)]
    with run.page() as page:
        compared = page.compare([record(value) for value in values], stream="calls", observed_at=at(7))

    assert [one.call_id for one in compared.new] == ["new"]
    ((record_elsewhere, stream, cursor, held_elsewhere),) = compared.elsewhere
    assert (record_elsewhere.call_id, stream, cursor, held_elsewhere.observed_at) == ("elsewhere", "other", at(0), at(5))
    ((differing, stored),) = compared.differing
    assert (differing.call_id, record(call("changes", 0, status="talking")).digest) == ("changes", stored.content_hash)
    assert (stored.observed_at, stored.detail, stored.detail_observed_at) == (at(5), None, None)
    assert compared.open_ids == {"changes", "elsewhere"}


def test_an_update_that_is_older_than_either_record_held_is_left_out(run: Run) -> None:
    """It is not refused: nothing is wrong with it. Neither row, nor history, nor children are touched."""
    run.load(whole_call("c1", 0, 1), seen=8)
    run.load(call("c2", 0), seen=5)
    run.load_detail(call("c2", 0, transcript="words"), seen=8)
    tables = ("calls", "call_history", "call_participants", "call_messages", "call_events")
    before = {table: run.rows(table) for table in tables}
    with run.page() as page:
        older = [derived(run, call("c1", 0, seconds=1), seen=7), derived(run, call("c2", 0, seconds=1), seen=9)]
        assert page.update(older) == frozenset()

    assert {table: run.rows(table) for table in tables} == before


def test_inserting_and_updating_name_what_the_database_refuses(run: Run) -> None:
    """All others are written."""
    run.load(call("held", 0), call("kept", 0), seen=5)
    with run.page() as page:
        new = [derived(run, call("new", 0), seen=6), derived(run, call("bad", 0, extra=HUGE), seen=6)]
        assert page.insert(new) == {"bad"}
        changed = [derived(run, call("held", 0, seconds=1), seen=6), derived(run, call("kept", 0, extra=HUGE), seen=6)]
        assert page.update(changed) == {"kept"}

    assert {row["call_id"]: row["duration_seconds"] for row in run.rows("calls")} == {"held": 1, "kept": None, "new": None}
