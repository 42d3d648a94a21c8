"""What is erased stays out of a page that is on its way, out of details, and out of the files of the database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from etl import providers
from etl.coverage import Spans
from etl.errors import UsageError
from etl.records.identify import identify
from etl.records.persons import by_email, by_phone
from etl.runs.account import Account
from etl.runs.forgetting import Forgotten, forget_connection
from etl.runs.lifecycle import Surroundings
from etl.runs.loading import drafted, load_page
from etl.runs.loading_details import Told, load_details
from etl.runs.terms import Loaded, Observed, RunKind, RunStatus, Trigger
from etl.runs.watching import Silence
from etl.system import SystemThreads, system_effects
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from etl.warehouse.privacy import erasures
from etl.warehouse.privacy.forgetting import PostgresForgetting

KROSAI = providers.get("krosai")
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = b"0123456789abcdef0123456789abcdef"
PHONE, EMAIL = "+14155550100", "anna@example.com"
ACCOUNT = Account(connection="telephony", provider=KROSAI, lookback=timedelta(hours=2))


def record(number: int, **more: Any) -> Any:
    """Return a record of the list."""
    value = {
        "id": f"c{number}",
        "created_at": "2026-11-20T10:00:00Z",
        "status": "completed",
        "from_number": "+14155550111",
    } | more
    return identify(KROSAI, json.dumps(value).encode(), cleaned=False)


class Stopping(PostgresForgetting):
    """Is told to stop when all is cut, and the roll-ups are to be made again."""

    def remake(self, account: Account, *, run_id: int, stop: Event) -> None:
        stop.set()
        super().remake(account, run_id=run_id, stop=stop)


class Line:
    """A connection, and the run that owns it."""

    def __init__(self, database: Database, locks: Locks) -> None:
        """Open the run of a sync."""
        self.database = database
        self.locks = locks
        self.warehouse = PostgresWarehouse(database, locks)
        self.forgetting = PostgresForgetting(database, locks)
        self.run_id = self.warehouse.open_run(ACCOUNT, kind=RunKind.SYNC, trigger=Trigger.CLI)

    def observed(self, *records: Any, later: timedelta = timedelta()) -> Observed:
        """Return a page with its rows prepared in advance, as a run does while the page before is loaded."""
        page = Observed(stream="calls", records=records, observed_at=SEEN + later, due_at=None)
        page.draft = self.warehouse.encoded(drafted(ACCOUNT, page, run_id=self.run_id, known=()))
        return page

    def load(self, page: Observed) -> Loaded:
        """Load a page."""
        with self.warehouse.page(ACCOUNT, run_id=self.run_id) as transaction:
            return load_page(transaction, ACCOUNT, page, run_id=self.run_id, covered=Spans(), listed_there=lambda _: None)

    def detail(self, detail: Any, *, later: timedelta) -> Loaded:
        """Load a detail."""
        with self.warehouse.page(ACCOUNT, run_id=self.run_id) as page:
            told = Told("calls", detail.call_id, detail, SEEN + later)
            (loaded,) = load_details(page, ACCOUNT, [told], run_id=self.run_id, due=lambda entry, value: None)
            return loaded

    def erase(self, *, phone: str | None = None, email: str | None = None) -> None:
        """Register whoever is erased; nothing that is held is gone through."""
        person = by_phone(phone) if phone is not None else by_email(email or "")
        assert person is not None
        now = erasures.now_of(self.database)
        erasures.register(self.database, KEY, people=erasures.persons_to_erasures(KEY, [person], at=now), calls=())

    def forget(self, stop: Event | None = None) -> Forgotten:
        """Go through what is held, and begin another sync; `stop` is set just before the roll-ups are made again."""
        effects = system_effects()
        given = Surroundings(
            warehouse=self.forgetting if stop is None else Stopping(self.database, self.locks),
            clock=effects.clock,
            threads=effects.threads,
            watcher=Silence(),
            stop=stop or Event(),
            trigger=Trigger.CLI,
        )
        ended = forget_connection(ACCOUNT, given=given)
        self.run_id = self.warehouse.open_run(ACCOUNT, kind=RunKind.SYNC, trigger=Trigger.CLI)
        return ended

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a statement finds."""
        with self.database.begin() as session:
            return [tuple(row) for row in session.exec_driver_sql(statement)]


@pytest.fixture
def line(database: Database) -> Iterator[Line]:
    """Give a connection in a warehouse whose key is known to this process."""
    database.erasure_key = KEY
    with Locks(database, SystemThreads()) as locks:
        yield Line(database, locks)


NAMED = (
    "SELECT (SELECT count(*) FROM calls c WHERE c::text ~ '4155550100|anna@'), "
    "(SELECT count(*) FROM call_history h WHERE h::text ~ '4155550100|anna@'), "
    "(SELECT count(*) FROM sync.rejected_records r WHERE r::text ~ '4155550100|anna@')"
)


def test_a_page_that_was_read_before_the_erasure_is_cut_when_it_is_loaded(line: Line) -> None:
    """By a run that began before it, with its rows prepared: nobody waits for it, and it does not bring them back."""
    page = line.observed(record(1, from_number=PHONE, transcript="Anna"), record(2), record(3, to_number="x", created_at=None))
    line.load(line.observed(record(0)))
    line.erase(phone=PHONE)
    loaded = line.load(page)
    assert (loaded.inserted, loaded.rejected) == (2, 1)
    assert line.ask(NAMED) == [(0, 0, 0)]
    assert line.ask("SELECT call_id, from_address, transcript FROM calls ORDER BY 1") == [
        ("c0", "+14155550111", None),
        ("c1", None, None),
        ("c2", "+14155550111", None),
    ]
    again = line.load(line.observed(record(1, from_number=PHONE, transcript="Anna"), record(2), later=MINUTE))
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, 2)


@pytest.mark.parametrize("said", ["or +1 415 555 0100", "line\nor +1 415 555 0100", "\u00e9 or +1 415 555 0100"])
@pytest.mark.parametrize("place", [0, 3, 6])
def test_wherever_on_a_page_somebody_is_named_that_call_is_cut_and_no_other(line: Line, place: int, said: str) -> None:
    """Among calls in which something is escaped and others, in the midst of a text; what the others say stays."""
    line.erase(phone=PHONE)
    records = [record(number, transcript=said if number == place else "a\nb" if number % 2 else "ab") for number in range(7)]

    line.load(line.observed(*records))

    assert line.ask(NAMED) == [(0, 0, 0)]
    assert line.ask("SELECT call_id FROM calls WHERE from_address IS NULL") == [(f"c{place}",)]
    assert line.ask("SELECT count(*) FROM calls WHERE transcript IN (E'a\\nb', 'ab')") == [(6,)]


def test_somebody_who_turns_up_in_a_call_that_is_held_takes_all_of_it_along(line: Line) -> None:
    """Rows, versions and rejects of the call, whether the list or the detail names them; another text of it stays out too."""
    line.load(line.observed(record(1, transcript="This is Anna"), record(2, transcript="This is Anna, too"), record(3)))
    line.load(line.observed(record(1, transcript="This was Anna"), later=MINUTE))
    line.erase(email=EMAIL)
    line.load(line.observed(record(1, transcript=f"Write to {EMAIL}"), later=2 * MINUTE))
    line.detail(record(2, transcript=f"Write to {EMAIL}"), later=2 * MINUTE)
    assert line.ask("SELECT call_id, transcript, raw ? 'transcript', detail ? 'transcript' FROM calls ORDER BY 1") == [
        ("c1", None, False, None),
        ("c2", None, False, False),
        ("c3", None, False, None),
    ]
    assert line.ask("SELECT DISTINCT raw ? 'transcript' FROM call_history") == [(False,)]
    assert line.ask("SELECT call_id FROM sync.erased_calls ORDER BY 1") == [("c1",), ("c2",)]
    line.load(line.observed(record(2, transcript="Somebody else's words"), later=3 * MINUTE))
    line.detail(record(1, transcript="Anna's words"), later=3 * MINUTE)
    assert line.ask("SELECT count(*) FROM calls WHERE transcript IS NOT NULL") == [(0,)]


def test_a_reject_is_cut_and_counted_once_however_often_it_comes(line: Line) -> None:
    """What was held before the erasure and what is read after it is the same reject."""
    bad = {"created_at": "never", "from_number": PHONE}
    broken = identify(KROSAI, f'{{"from_number": "{PHONE}"'.encode(), cleaned=False)
    line.load(line.observed(record(1), record(2, **bad), record(3, **bad), broken))
    line.erase(phone=PHONE)
    assert line.forget().cutting.rejects == 3
    line.load(line.observed(record(2, **bad), record(3, **bad), broken, later=MINUTE))
    assert line.ask(NAMED) == [(0, 0, 0)]
    found = "SELECT call_id, reason, sightings, raw_text FROM sync.rejected_records ORDER BY 1"
    assert [row[:3] for row in line.ask(found)] == [
        ("c2", "bad_cursor", 2),
        ("c3", "bad_cursor", 2),
        (None, "not_an_object", 2),
    ]


def test_what_was_gone_through_is_not_written_again(line: Line) -> None:
    """A second look finds everything cut; and without any erasure a connection's pages have nothing to look at."""
    with line.warehouse.page(ACCOUNT, run_id=line.run_id) as page:
        assert page.erasing is None
    line.load(line.observed(record(1, from_number=PHONE), record(2)))
    line.erase(phone=PHONE)
    assert line.forget().cutting == (1, 0, 0)
    written = line.ask("SELECT call_id, xmin::text, ctid::text FROM calls ORDER BY 1")
    line.erase(phone="+14155550122")
    again = line.forget()
    assert (again.status, again.cutting) == (RunStatus.SUCCEEDED, (0, 0, 0))
    assert line.ask("SELECT call_id, xmin::text, ctid::text FROM calls ORDER BY 1") == written
    assert line.ask("SELECT erasures, erasures_done FROM sync.connections") == [(2, 2)]


def test_an_erasure_is_not_done_before_the_roll_ups_name_nobody(line: Line) -> None:
    """They are tables too: one that is stopped before they were made again is told as interrupted, and the next one does it."""
    line.load(line.observed(record(1, from_number=PHONE), record(2)))
    line.erase(phone=PHONE)
    state = "SELECT erasures, erasures_done, (SELECT count(*) FROM sync.touched_days) FROM sync.connections"

    stopped = line.forget(Event())

    assert (stopped.status, stopped.error and stopped.error.code, stopped.cutting) == (
        RunStatus.PARTIAL,
        "interrupted",
        (1, 0, 0),
    )
    assert line.ask(state) == [(1, 0, 1)]
    again = line.forget()
    assert (again.status, again.error, again.cutting) == (RunStatus.SUCCEEDED, None, (0, 0, 0))
    assert line.ask(state) == [(1, 1, 0)]


def test_a_run_without_the_key_stores_nothing_once_somebody_is_erased(line: Line) -> None:
    """It began before there was anything to know; its next page fails, and says what to set."""
    line.database.erasure_key = None
    line.load(line.observed(record(1)))
    line.erase(phone=PHONE)
    with pytest.raises(UsageError, match=r"warehouse\.erasure_key is not set"):
        line.load(line.observed(record(2), later=MINUTE))
    assert line.ask("SELECT call_id FROM calls") == [("c1",)]


def test_a_connection_that_is_new_knows_of_earlier_erasures(database: Database) -> None:
    """Its row begins behind: its first page is looked at like any other."""
    database.erasure_key = KEY
    with Locks(database, SystemThreads()) as locks:
        person = by_phone(PHONE)
        assert person is not None
        now = erasures.now_of(database)
        erasures.register(database, KEY, people=erasures.persons_to_erasures(KEY, [person], at=now), calls=())
        line = Line(database, locks)
        line.load(line.observed(record(1, from_number=PHONE)))
        assert line.ask("SELECT from_address FROM calls") == [(None,)]


def test_the_bytes_leave_the_files_with_a_full_vacuum(line: Line) -> None:
    """Tables, indexes, TOAST and the planner's statistics: as docs/erasure.md says, searched for in the files themselves."""
    (folder,) = line.ask(
        "SELECT current_setting('data_directory'), oid::text FROM pg_database WHERE datname = current_database()"
    )
    files = Path(folder[0]) / "base" / folder[1]
    if not os.access(files, os.R_OK):
        pytest.skip("the server's files are not on this machine, or not ours to read")
    said = f"Anna, {PHONE}. " * 200
    line.load(line.observed(*[record(number, from_number=PHONE, transcript=said) for number in range(40)]))
    line.load(line.observed(*[record(number, to_number=PHONE, transcript=said) for number in range(20)], later=MINUTE))
    line.ask("INSERT INTO numbers (number) VALUES ('+14155550100') RETURNING 1")

    def settled(*statements: str) -> list[str]:
        with line.database.autocommit() as session:
            for statement in (*statements, "CHECKPOINT"):
                session.exec_driver_sql(statement)
        return sorted(one.name for one in files.iterdir() if PHONE.encode() in one.read_bytes())

    assert settled("CREATE INDEX of_a_test ON calls (from_address)", "ANALYZE") != []
    line.erase(phone=PHONE)
    assert line.forget().error is None
    erasures.forget_dimensions(line.database, lambda text: "4155550100" in text)
    assert line.ask(NAMED) == [(0, 0, 0)]
    assert settled("VACUUM (FULL, ANALYZE)", "VACUUM (FULL) pg_statistic") == []
