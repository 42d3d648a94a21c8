"""What is read becomes rows in a real Postgres: late, older, repeated, changed, refused; whole rows are compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl import providers
from etl.coverage import Spans
from etl.model import CallRow, Context, Record
from etl.provider import Provider
from etl.records.derive import derive
from etl.records.identify import identify
from etl.runs.account import Account
from etl.runs.loading import drafted, load_page
from etl.runs.loading_details import Told, load_details
from etl.runs.terms import Loaded, Observed, RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.database import Database
from etl.warehouse.loading.transaction import Page
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse

TUPLE, SALPRE, KROSAI = (providers.get(name) for name in ("tuple", "salpre", "krosai"))
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOWHERE = Spans()
TOO_LARGE = "1e200000"
"""A number that is JSON, and more than the database's numbers hold."""


class Held:
    """A warehouse with one connection in it."""

    def __init__(self, database: Database, locks: Locks, provider: Provider) -> None:
        """Open a run."""
        self.database = database
        self.warehouse = PostgresWarehouse(database, locks)
        self.account = Account(connection="made_up", provider=provider, lookback=timedelta(hours=2), currency="EUR")
        self.open_run()

    def open_run(self) -> None:
        """Begin another run, which looks whether any rejects are open."""
        self.run_id = self.warehouse.open_run(self.account, kind=RunKind.SYNC, trigger=Trigger.CLI)

    def load(
        self,
        *calls: dict[str, Any] | str,
        at: datetime = SEEN,
        stream: str = "calls",
        covered: Spans = NOWHERE,
        expected_new: bool = False,
        seen: Spans = NOWHERE,
    ) -> Loaded:
        """Load a page that was read at an instant: drafted in advance, or compared first with what is held in `seen`."""
        observed = Observed(stream=stream, records=[self.record(call) for call in calls], observed_at=at, due_at=None)
        if expected_new:
            made = drafted(self.account, observed, run_id=self.run_id, known=())
            observed.draft = self.warehouse.encoded(made)
            assert observed.draft.encoded is not None
        with self.warehouse.page(self.account, run_id=self.run_id) as page:
            page.absent(stream=stream, read=seen, seen=())
            return load_page(page, self.account, observed, run_id=self.run_id, covered=covered, listed_there=lambda _: True)

    def load_detail(self, call_id: str, detail: dict[str, Any] | str, *, at: datetime, due: datetime | None = None) -> Loaded:
        """Load what was said of one call when it was asked for."""
        (loaded,) = self.load_details(Told("calls", call_id, self.record(detail), at), due=due)
        return loaded

    def load_details(self, *told: Told, due: datetime | None = None) -> list[Loaded]:
        """Load what was said of several."""
        with self.warehouse.page(self.account, run_id=self.run_id) as page:
            return load_details(page, self.account, told, run_id=self.run_id, due=lambda _entry, _value: due)

    def record(self, call: dict[str, Any] | str) -> Record:
        """Look at a call as it arrives."""
        return identify(self.account.provider, (call if isinstance(call, str) else json.dumps(call)).encode(), cleaned=False)

    def row(self, call: dict[str, Any], *, at: datetime = SEEN, **others: Any) -> dict[str, Any]:
        """Return the row that a call becomes if nothing was known of it; `others` are columns that differ."""
        context = Context(connection="made_up", stream="calls", currency="EUR", run_id=self.run_id)
        row = derive(self.account.provider, context, self.record(call), observed_at=at).call._asdict()
        return comparable(row | others)

    def rows(self) -> list[dict[str, Any]]:
        """Return every row of `public.calls` as it is held."""
        with self.database.begin() as session:
            found = session.exec_driver_sql(f"SELECT {', '.join(CallRow._fields)} FROM calls ORDER BY call_id")
            return [comparable(dict(row._mapping)) for row in found]

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self.database.begin() as session:
            return [tuple(row) for row in session.exec_driver_sql(statement)]


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its JSON decoded."""
    documents = {name: row[name] for name in ("raw", "detail", "attributes")}
    return row | {name: json.loads(value) if isinstance(value, str) else value for name, value in documents.items()}


def call(number: int, **others: Any) -> dict[str, Any]:
    """Return a KrosAI call."""
    return {"id": f"c{number}", "created_at": f"2026-11-21T10:{number:02}:00Z", "status": "completed", **others}


@pytest.fixture
def locks(database: Database) -> Iterator[Locks]:
    """Give the locks of this process."""
    with Locks(database, SystemThreads()) as held:
        yield held


@pytest.fixture
def krosai(database: Database, locks: Locks) -> Held:
    """Give a warehouse for a provider with details, attributes and a presigned address."""
    return Held(database, locks, KROSAI)


@pytest.mark.parametrize("expected_new", [True, False])
def test_new_calls_become_rows(krosai: Held, *, expected_new: bool) -> None:
    """Whether they were drafted in advance or looked up first."""
    loaded = krosai.load(call(1), call(2, status="ringing"), expected_new=expected_new)
    assert loaded == Loaded(inserted=2, open_ids=frozenset({"c2"}))
    assert krosai.rows() == [krosai.row(call(1)), krosai.row(call(2, status="ringing"))]


def test_within_a_page_the_last_sighting_of_an_id_counts(krosai: Held) -> None:
    """The one before it never was."""
    assert krosai.load(call(1, status="ringing"), call(1)).inserted == 1
    assert krosai.rows() == [krosai.row(call(1))]
    assert krosai.ask("SELECT count(*) FROM call_history") == [(0,)]


@pytest.mark.parametrize("expected_new", [True, False])
def test_new_calls_in_what_was_covered_are_late(krosai: Held, *, expected_new: bool) -> None:
    """By how far they lie below its end; calls above it are not, nor are those held already."""
    covered = Spans([(datetime(2026, 11, 21, 10, tzinfo=UTC), datetime(2026, 11, 21, 10, 5, tzinfo=UTC))])
    krosai.load(call(1))
    loaded = krosai.load(call(1), call(2), call(4), call(6), covered=covered, expected_new=expected_new)
    assert (loaded.inserted, loaded.unchanged) == (3, 1)
    assert (loaded.late, loaded.max_lateness) == (2, 3 * MINUTE)


@pytest.mark.parametrize("glimpsed", [True, False])
def test_the_same_bytes_are_not_written_again(krosai: Held, *, glimpsed: bool) -> None:
    """Not even when they were last seen; whether the call is open is told all the same."""
    krosai.load(call(1), call(2, status="ringing"))
    before = krosai.ask("SELECT call_id, xmin::text, ctid::text FROM calls ORDER BY 1")
    everything = Spans([(SEEN - timedelta(days=1), SEEN)])
    loaded = krosai.load(call(1), call(2, status="ringing"), at=SEEN + MINUTE, seen=everything if glimpsed else NOWHERE)
    assert loaded == Loaded(unchanged=2, open_ids=frozenset({"c2"}))
    assert krosai.ask("SELECT call_id, xmin::text, ctid::text FROM calls ORDER BY 1") == before


@pytest.mark.parametrize("glimpsed", [True, False])
def test_the_same_bytes_are_written_where_a_detail_said_otherwise_meanwhile(krosai: Held, *, glimpsed: bool) -> None:
    """There and back again, whichever look-up finds it: only the call in dispute is written, and then it is quiet."""
    krosai.load(call(1, duration=300), call(2, duration=5))
    krosai.load_detail("c1", call(1, duration=301), at=SEEN + MINUTE)
    krosai.load_detail("c2", call(2, duration=5, transcript="hello"), at=SEEN + MINUTE)
    second = "SELECT xmin::text, ctid::text FROM calls WHERE call_id = 'c2'"
    before = krosai.ask(second)
    read = Spans([(SEEN - timedelta(days=1), SEEN)]) if glimpsed else NOWHERE

    again = (call(1, duration=300), call(2, duration=5))
    assert krosai.load(*again, at=SEEN + 2 * MINUTE, seen=read) == Loaded(updated=1, unchanged=1)
    assert krosai.ask("SELECT call_id, duration_seconds, transcript FROM calls ORDER BY 1") == [
        ("c1", 300, None),
        ("c2", 5, "hello"),
    ]
    assert krosai.load(*again, at=SEEN + 3 * MINUTE, seen=read) == Loaded(unchanged=2)
    assert krosai.ask(second) == before


def test_the_same_content_is_not_written_again(krosai: Held) -> None:
    """Keys in another order, a number in another form, a presigned address that was signed again."""
    krosai.load(call(1, latency_ms=40, recording_url="https://recordings.example.com/1?signed=1"))
    before = krosai.ask("SELECT xmin::text, ctid::text FROM calls")
    again = call(1, recording_url="https://recordings.example.com/1?signed=2", latency_ms=40.0)
    assert krosai.load(again, at=SEEN + MINUTE) == Loaded(unchanged=1)
    assert krosai.ask("SELECT xmin::text, ctid::text FROM calls") == before


def test_a_change_supersedes_what_was_held(krosai: Held) -> None:
    """The version before it becomes history, valid until the instant at which the change was seen."""
    krosai.load(call(1, status="ringing"))
    loaded = krosai.load(call(1), at=SEEN + MINUTE)
    assert loaded == Loaded(updated=1, open_ids=frozenset({"c1"}))
    assert krosai.rows() == [krosai.row(call(1), at=SEEN + MINUTE, first_seen_at=SEEN)]
    assert krosai.ask("SELECT call_id, version, status, valid_from, valid_to, deleted FROM call_history") == [
        ("c1", 1, "ringing", SEEN, SEEN + MINUTE, False)
    ]


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_the_days_of_a_call_that_is_replaced_or_removed_are_touched(krosai: Held, what: str) -> None:
    """Both those that it had and those that it has: the roll-ups of each would say something that is no longer so."""
    krosai.load(call(1, completed_at="2026-11-23T10:00:00Z"))
    with krosai.database.begin() as session:
        session.exec_driver_sql("DELETE FROM sync.touched_days")
    if what == "changed":
        krosai.load(call(1, completed_at="2026-11-22T10:00:00Z"), at=SEEN + MINUTE)
    else:
        with krosai.warehouse.page(krosai.account, run_id=krosai.run_id) as page:
            page.bury(["c1"], gone_at=SEEN + MINUTE)

    assert krosai.ask("SELECT day::text FROM sync.touched_days ORDER BY day") == [
        ("2026-11-21",),
        ("2026-11-22",),
        ("2026-11-23",),
    ]


def test_an_older_observation_never_replaces_a_newer_one(krosai: Held) -> None:
    """Its page is loaded after the newer one, and counts as unchanged."""
    krosai.load(call(1), at=SEEN + MINUTE)
    assert krosai.load(call(1, status="ringing"), call(2), at=SEEN).unchanged == 1
    assert krosai.rows() == [krosai.row(call(1), at=SEEN + MINUTE), krosai.row(call(2))]
    assert krosai.ask("SELECT count(*) FROM call_history") == [(0,)]


@pytest.mark.parametrize(
    ("listed_at", "asked_at"), [(SEEN - MINUTE, SEEN + 3 * MINUTE), (SEEN + 3 * MINUTE, SEEN + MINUTE)], ids=["record", "detail"]
)
def test_the_statement_itself_refuses_what_is_older(krosai: Held, listed_at: datetime, asked_at: datetime) -> None:
    """Either record held may be newer than what somebody looked up: the row and its history stay as they are."""
    krosai.load(call(1))
    krosai.load_detail("c1", call(1, duration=7), at=SEEN + 2 * MINUTE)
    entry = derive(
        KROSAI,
        Context(connection="made_up", stream="calls", currency="EUR", run_id=krosai.run_id),
        krosai.record(call(1, status="failed")),
        observed_at=listed_at,
        detail=krosai.record(call(1, duration=5)),
        detail_observed_at=asked_at,
    )
    before, history = krosai.rows(), krosai.ask("SELECT version, valid_to FROM call_history")
    with krosai.warehouse.page(krosai.account, run_id=krosai.run_id) as page:
        assert page.update([entry]) == frozenset()
    assert krosai.rows() == before
    assert krosai.ask("SELECT version, valid_to FROM call_history") == history


def test_a_call_is_its_first_streams(krosai: Held) -> None:
    """The same id in another stream is a reject there."""
    krosai.load(call(1))
    assert krosai.load(call(1), at=SEEN + MINUTE, stream="other") == Loaded(rejected=1)
    assert krosai.rows() == [krosai.row(call(1))]
    assert krosai.ask("SELECT stream, call_id, reason FROM sync.rejected_records") == [("other", "c1", "id_in_two_streams")]


@pytest.mark.parametrize("expected_new", [True, False])
@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_record_that_the_database_refuses_stands_alone(krosai: Held, place: int, *, expected_new: bool) -> None:
    """Halving finds it wherever it stands; the seven around it, new and changed, are rows."""
    krosai.load(*(call(number, status="ringing") for number in range(0, 8, 2)))
    calls: list[dict[str, Any] | str] = [call(number) for number in range(8)]
    calls[place] = json.dumps(call(place, latency_ms=0)).replace('"latency_ms": 0', f'"latency_ms": {TOO_LARGE}')
    loaded = krosai.load(*calls, at=SEEN + MINUTE, expected_new=expected_new)
    assert (loaded.inserted + loaded.updated, loaded.rejected) == (7, 1)
    assert krosai.ask("SELECT call_id, reason, sightings FROM sync.rejected_records") == [(f"c{place}", "database_refused", 1)]
    status = {row["call_id"]: row["status"] for row in krosai.rows()}
    expected = {f"c{number}": "completed" for number in range(8)} | ({f"c{place}": "ringing"} if place % 2 == 0 else {})
    assert status == {call_id: word for call_id, word in expected.items() if call_id != f"c{place}" or place % 2 == 0}


def test_a_reject_is_resolved_when_its_call_comes_right(krosai: Held) -> None:
    """By a later reading alone; one that was seen since stays, and another call's as well."""
    bad = [call(1, created_at="never"), call(2, created_at="never"), call(3, created_at="never")]
    assert krosai.load(*bad).rejected == 3
    krosai.run_id = krosai.warehouse.open_run(
        krosai.account, kind=RunKind.SYNC, trigger=Trigger.CLI
    )  # which looks whether any are open
    assert krosai.load(call(1), at=SEEN + MINUTE).rejected == 0
    assert krosai.load(call(2), at=SEEN - MINUTE).inserted == 1
    assert krosai.ask("SELECT call_id, resolved_at FROM sync.rejected_records ORDER BY 1") == [
        ("c1", SEEN + MINUTE),
        ("c2", None),
        ("c3", None),
    ]


def test_a_bad_record_is_one_reject_however_often_it_is_seen(krosai: Held) -> None:
    """It is counted once a page; one of which only the presigned address differs is the same."""
    bad = call(1, created_at="never", recording_url="https://recordings.example.com/1?signed=1")
    krosai.load(bad)
    krosai.load(bad | {"recording_url": "https://recordings.example.com/1?signed=2"}, at=SEEN + MINUTE)
    assert krosai.ask("SELECT call_id, sightings, first_seen_at, last_seen_at FROM sync.rejected_records") == [
        ("c1", 2, SEEN, SEEN + MINUTE)
    ]


def test_children_without_their_call_do_not_stand_in_its_way(database: Database, locks: Locks) -> None:
    """They were left by somebody else: the call that comes brings its own."""
    held = Held(database, locks, TUPLE)
    with database.begin() as session:
        session.exec_driver_sql(
            "INSERT INTO call_participants (connection, call_id, participant_id) "
            "VALUES ('made_up', '7', '1'), ('made_up', '7', '9')"
        )
    people = [{"id": 1, "user": {"email": "ada@example.com"}, "joined_at": None, "left_at": None}]
    assert held.load({"id": 7, "ended_at": "2026-11-21T10:00:00Z", "call_participations": people}).inserted == 1
    assert held.ask("SELECT participant_id, email FROM call_participants") == [("1", "ada@example.com")]


def test_a_detail_joins_its_call(krosai: Held) -> None:
    """Its row says both, when to ask again, and keeps the version before."""
    krosai.load(call(1))
    detail = call(1, duration=7)
    assert krosai.load_detail("c1", detail, at=SEEN + MINUTE, due=SEEN + 9 * MINUTE) == Loaded(updated=1)
    (row,) = krosai.rows()
    assert row == krosai.row(
        call(1),
        duration_seconds=7,
        detail=detail,
        detail_observed_at=SEEN + MINUTE,
        detail_due_at=SEEN + 9 * MINUTE,
        last_changed_at=SEEN + MINUTE,
    )


def test_a_detail_that_says_the_same_only_moves_its_date(krosai: Held) -> None:
    """Nothing but when it is to be asked for next."""
    krosai.load(call(1))
    krosai.load_detail("c1", call(1, duration=7), at=SEEN + MINUTE, due=SEEN + 2 * MINUTE)
    (before,) = krosai.rows()
    assert krosai.load_detail("c1", call(1, duration=7.0), at=SEEN + 2 * MINUTE) == Loaded(unchanged=1)
    assert krosai.rows() == [before | {"detail_due_at": None}]


def test_an_older_detail_is_left_out(krosai: Held) -> None:
    """An answer that comes after a newer one's says nothing."""
    krosai.load(call(1))
    krosai.load_detail("c1", call(1, duration=7), at=SEEN + 2 * MINUTE)
    before = krosai.rows()
    assert krosai.load_detail("c1", call(1, duration=5), at=SEEN + MINUTE) == Loaded(older_by=MINUTE)
    assert krosai.load_detail("unheard_of", call(9), at=SEEN + MINUTE) == Loaded()
    assert krosai.rows() == before


def test_a_detail_that_the_database_refuses_is_a_reject_until_one_is_taken(krosai: Held) -> None:
    """The row stays as it is; what resolves the reject is a later detail, and not the list record."""
    krosai.load(call(1))
    before = krosai.rows()
    refused = json.dumps(call(1, latency_ms=0)).replace('"latency_ms": 0', f'"latency_ms": {TOO_LARGE}')
    assert krosai.load_detail("c1", refused, at=SEEN + MINUTE) == Loaded(rejected=1)
    assert krosai.rows() == before
    krosai.open_run()
    assert krosai.load_detail("c1", call(1, duration=7), at=SEEN + 2 * MINUTE) == Loaded(updated=1)
    assert krosai.ask("SELECT call_id, reason, resolved_at FROM sync.rejected_records") == [
        ("c1", "database_refused", SEEN + 2 * MINUTE)
    ]


def test_details_are_loaded_together_as_each_would_be_alone(krosai: Held) -> None:
    """A new one, one that says the same, an older one, one of a call that is not held, and one that the database refuses."""
    krosai.load(*map(call, range(5)))
    refused = json.dumps(call(4, latency_ms=0)).replace('"latency_ms": 0', f'"latency_ms": {TOO_LARGE}')
    krosai.load_details(
        Told("calls", "c2", krosai.record(call(2, duration=5)), SEEN + MINUTE),
        Told("calls", "c3", krosai.record(call(3, duration=5)), SEEN + 3 * MINUTE),
    )
    before = krosai.rows()

    came = krosai.load_details(
        Told("calls", "c1", krosai.record(call(1, duration=7)), SEEN + 2 * MINUTE),
        Told("calls", "c2", krosai.record(call(2, duration=5)), SEEN + 2 * MINUTE),
        Told("calls", "c3", krosai.record(call(3, duration=6)), SEEN + 2 * MINUTE),
        Told("calls", "c4", krosai.record(refused), SEEN + 2 * MINUTE),
        Told("calls", "c9", krosai.record(call(9)), SEEN + 2 * MINUTE),
        Told("calls", "c0", krosai.record(call(0, duration=8)), SEEN + 2 * MINUTE),
    )

    updated, unchanged, rejected = Loaded(updated=1), Loaded(unchanged=1), Loaded(rejected=1)
    assert came == [updated, unchanged, Loaded(older_by=MINUTE), rejected, Loaded(), updated]
    changed = {
        row["call_id"]: row
        for row in (
            krosai.row(
                call(n),
                duration_seconds=seconds,
                detail=call(n, duration=seconds),
                detail_observed_at=SEEN + 2 * MINUTE,
                last_changed_at=SEEN + 2 * MINUTE,
            )
            for n, seconds in ((0, 8), (1, 7))
        )
    }
    assert krosai.rows() == [changed.get(row["call_id"], row) for row in before]
    assert krosai.ask("SELECT call_id, reason FROM sync.rejected_records") == [("c4", "database_refused")]


def test_a_draft_that_was_wrong_about_what_is_new_changes_nothing(krosai: Held) -> None:
    """What is written in the end does not depend on what was drafted in advance, or for which calls."""
    krosai.load(call(2, status="ringing"))
    observed = Observed(
        stream="calls", records=[krosai.record(call(n)) for n in range(4)], observed_at=SEEN + MINUTE, due_at=None
    )
    other = replace(observed, records=observed.records[:1])
    observed.draft = krosai.warehouse.encoded(drafted(krosai.account, other, run_id=krosai.run_id, known=()))
    with krosai.warehouse.page(krosai.account, run_id=krosai.run_id) as page:
        assert isinstance(page, Page)
        loaded = load_page(page, krosai.account, observed, run_id=krosai.run_id, covered=NOWHERE, listed_there=lambda _: True)
    assert (loaded.inserted, loaded.updated) == (3, 1)
    assert krosai.rows() == [
        krosai.row(call(n), at=SEEN + MINUTE, first_seen_at=SEEN if n == 2 else SEEN + MINUTE) for n in range(4)
    ]
