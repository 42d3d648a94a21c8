"""What the warehouse says of how connections stand, and how it remembers alerts for several workers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from etl.alerts.changes import Alert, Change, Event, Kind, Standing, State
from etl.alerts.port import Facts, HookFailed
from etl.warehouse.alerts import Alerts
from etl.warehouse.database import Database

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

NOTHING = Facts(
    connection="voice",
    read_until=None,
    fresh_until=None,
    last_error=None,
    proof=None,
    proved_at=None,
    lost_gaps=0,
    newest_call=None,
)
OPEN = Alert(connection="voice", kind=Kind.BEHIND, state=State.OPEN, since=NOW - HOUR, notified_at=None)


def execute(database: Database, *statements: str) -> None:
    for statement in statements:
        with database.begin() as session:
            session.exec_driver_sql(statement)


def run(ago: timedelta, status: str, *, kind: str = "sync", error: str = "") -> str:
    """Return the statement that records a run which began that long ago and took a minute; a running one has not ended."""
    began = NOW - ago
    ended = "NULL" if status == "running" else f"'{began + timedelta(minutes=1)}'"
    return f"""
    INSERT INTO sync.runs (connection, trigger, kind, status, started_at, finished_at, error_code)
    VALUES ('voice', 'worker', '{kind}', '{status}', '{began}', {ended}, nullif('{error}', ''))
    """


def stream(name: str, *covered: tuple[timedelta, timedelta], written: timedelta = HOUR, horizon: timedelta | None = None) -> str:
    """Return the statement that stores a stream that was read from and until so long ago."""
    ranges = ",".join(f"[{(NOW - first).isoformat()},{(NOW - last).isoformat()})" for first, last in covered)
    below = "NULL" if horizon is None else f"'{NOW - horizon}'"
    return f"""
    INSERT INTO sync.state (connection, stream, coverage, horizon, updated_at)
    VALUES ('voice', '{name}', '{{{ranges}}}', {below}, '{NOW - written}')
    """


def call(ago: timedelta, stream: str = "calls", connection: str = "voice") -> str:
    """Return the statement that stores a call of so long ago."""
    at = NOW - ago
    return f"""
    INSERT INTO public.calls (connection, call_id, provider, occurred_at, status, is_test, raw, first_seen_at, last_changed_at,
                              stream, cursor_at, observed_at, content_hash, last_run_id)
    VALUES ('{connection}', '{stream}{at.timestamp()}', 'acme', '{at}', 'completed', false, '{{}}', '{at}', '{at}',
            '{stream}', '{at}', '{at}', '', 1)
    """


@pytest.fixture
def voice(database: Database) -> Database:
    """Give a warehouse with a connection that no sync has read yet."""
    execute(database, "INSERT INTO sync.connections (connection, provider) VALUES ('voice', 'acme'), ('other', 'acme')")
    return database


def facts(database: Database) -> Facts:
    (found,) = Alerts(database).facts(["voice", "unknown"], now=NOW)
    return found


# ── How a connection stands ─────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_known_of_a_connection_that_was_never_read(voice: Database) -> None:
    """One that the warehouse does not know is left out."""
    assert facts(voice) == NOTHING


def test_a_connection_that_a_sync_got_through_for(voice: Database) -> None:
    """It is read up to where its slowest stream is, and its newest call is that of all its streams."""
    execute(
        voice,
        run(2 * DAY, "succeeded"),
        run(DAY, "failed", error="authentication"),
        run(HOUR, "running"),
        stream("a", (9 * DAY, 2 * DAY)),
        stream("b", (9 * DAY, 3 * DAY)),
        call(5 * DAY, "a"),
        call(4 * DAY, "b"),
        call(-DAY, "b"),  # a cursor in the future is no call that came
        call(HOUR, "a", "other"),
    )
    assert facts(voice) == replace(
        NOTHING,
        read_until=NOW - 3 * DAY,
        fresh_until=NOW - 3 * DAY,
        last_error="authentication",
        lost_gaps=0,
        newest_call=NOW - 4 * DAY,
    )


def test_a_connection_without_calls(voice: Database) -> None:
    """Nothing can be claimed of an empty list; that a sync got through is what counts."""
    execute(voice, run(DAY, "succeeded"), stream("calls"))
    assert facts(voice) == replace(NOTHING, read_until=NOW - DAY + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("statements", "read_until"),
    [
        pytest.param([run(3 * DAY, "failed"), run(DAY, "failed")], NOW - 3 * DAY, id="its first sync failed and all after it"),
        pytest.param([run(3 * DAY, "running"), stream("calls", written=HOUR)], NOW - HOUR, id="the first one still gets on"),
        pytest.param(
            [run(3 * DAY, "partial"), run(2 * HOUR, "partial"), stream("calls", written=DAY)],
            NOW - 2 * HOUR + timedelta(minutes=1),
            id="its budget is spent every day",
        ),
    ],
)
def test_a_first_backfill_is_not_behind_while_it_gets_on(voice: Database, statements: list[str], read_until: datetime) -> None:
    """As long as no sync got through, what was last written counts, and not how far back the calls are that it reads."""
    execute(voice, *statements)
    assert facts(voice) == replace(NOTHING, read_until=read_until)


def test_an_error_that_is_over(voice: Database) -> None:
    """The newest sync that ended counts, and no other kind of run."""
    execute(
        voice, run(3 * HOUR, "failed", error="refused"), run(2 * HOUR, "succeeded"), run(HOUR, "failed", kind="replay", error="x")
    )
    assert facts(voice).last_error is None


def test_gaps_that_cannot_be_closed_and_proofs(voice: Database) -> None:
    """As `data_freshness` has them."""
    execute(
        voice,
        stream("calls", (9 * DAY, 5 * DAY), (3 * DAY, HOUR), horizon=3 * DAY),
        f"""
        INSERT INTO sync.audits (connection, stream, range_start, range_end, checked_at, verdict) VALUES
            ('voice', 'calls', '-infinity', 'infinity', '{NOW - DAY}', 'complete'),
            ('voice', 'calls', '-infinity', 'infinity', '{NOW - HOUR}', 'mismatch')
        """,
    )
    found = facts(voice)
    assert (found.lost_gaps, found.proof, found.proved_at) == (1, "mismatch", NOW - HOUR)


@pytest.mark.parametrize(
    ("agos", "pause"),
    [
        pytest.param([], None, id="no call"),
        pytest.param([2 * DAY], None, id="one call"),
        pytest.param([2 * DAY, 5 * DAY, 6 * DAY], 3 * DAY, id="the longest of several"),
        pytest.param([2 * DAY, 29 * DAY, 30 * DAY, 50 * DAY], 27 * DAY, id="what lies before the four weeks does not count"),
        pytest.param([2 * DAY, 3 * DAY, 40 * DAY], 37 * DAY, id="but for a pause that ended in them"),
    ],
)
def test_the_longest_pause(voice: Database, agos: list[timedelta], pause: timedelta | None) -> None:
    """Between two calls of the connection, whichever streams they are of, in the four weeks before the newest."""
    execute(
        voice,
        stream("a"),
        stream("b"),
        *(call(ago, "ab"[number % 2]) for number, ago in enumerate(agos)),
        *(call(timedelta(hours=hours), "a", "other") for hours in (48, 60, 72)),
        call(DAY, "a"),  # newer than what is asked for
    )
    assert Alerts(voice).longest_pause("voice", before=NOW - 2 * DAY) == pause


# ── What is remembered ──────────────────────────────────────────────────────────────────────────────────────────────


def told(alert: Alert) -> Change:
    after = replace(alert, notified_at=NOW)
    return Change(event=Event.OPENED, before=alert, after=after, standing=Standing(connection="voice", due_at=NOW))


class Sent(list[Sequence[Change]]):
    """Takes what is sent."""

    def __call__(self, changes: Sequence[Change]) -> None:
        self.append(changes)


def test_an_alert_is_remembered_and_told_once(database: Database) -> None:
    """Two workers that decided the same do not both write it, nor tell it."""
    one, another, sent = Alerts(database), Alerts(database), Sent()
    one.note(OPEN, instead_of=None, now=NOW)
    another.note(replace(OPEN, since=NOW), instead_of=None, now=NOW + HOUR)
    assert one.alerts() == [(OPEN, NOW)]

    one.tell([told(OPEN)], sent, now=NOW + HOUR)
    another.tell([told(OPEN)], sent, now=NOW + HOUR)
    assert sent == [[told(OPEN)]]
    assert another.alerts() == [(replace(OPEN, notified_at=NOW), NOW + HOUR)]


def test_what_another_worker_is_telling_is_left_to_it(database: Database) -> None:
    """While its hook is asked, nobody waits for it and nobody tells the same; other alerts are told meanwhile."""
    one, another, sent = Alerts(database), Alerts(database), Sent()
    gap = replace(OPEN, kind=Kind.GAP_LOST)
    for alert in (OPEN, gap):
        one.note(alert, instead_of=None, now=NOW)

    def send(changes: Sequence[Change]) -> None:
        sent(changes)
        another.tell([told(gap), told(OPEN)], sent, now=NOW)

    one.tell([told(OPEN)], send, now=NOW)
    assert sent == [[told(OPEN)], [told(gap)]]
    assert [alert.notified_at for alert, _ in one.alerts()] == [NOW, NOW]


def test_a_hook_that_fails_leaves_everything_to_be_told(database: Database) -> None:
    """The error is passed on, and the next one may take the alert at once."""
    book, sent = Alerts(database), Sent()
    book.note(OPEN, instead_of=None, now=NOW)

    def send(_changes: Sequence[Change]) -> None:
        raise HookFailed("http_500")

    with pytest.raises(HookFailed):
        book.tell([told(OPEN)], send, now=NOW)
    assert book.alerts() == [(OPEN, NOW)]
    book.tell([told(OPEN)], sent, now=NOW)
    assert sent == [[told(OPEN)]]


def test_what_changed_meanwhile_stays_as_it_is(database: Database) -> None:
    """Who decided on an older row writes nothing and tells nothing."""
    book, sent = Alerts(database), Sent()
    closed = replace(OPEN, state=State.CLOSED, since=NOW, notified_at=NOW)
    book.note(closed, instead_of=None, now=NOW)
    book.tell([told(OPEN)], sent, now=NOW)
    book.note(replace(OPEN, since=NOW + HOUR), instead_of=OPEN, now=NOW)
    assert (sent, book.alerts()) == ([], [(closed, NOW)])

    book.note(replace(OPEN, since=NOW + HOUR), instead_of=closed, now=NOW + HOUR)
    assert book.alerts() == [(replace(OPEN, since=NOW + HOUR), NOW + HOUR)]


def test_alerts_that_nobody_looks_at_are_forgotten(database: Database) -> None:
    """Those of a connection that some worker still looks at are not."""
    book = Alerts(database)
    other = replace(OPEN, connection="other")
    for alert in (OPEN, replace(OPEN, kind=Kind.GAP_LOST), other):
        book.note(alert, instead_of=None, now=NOW)
    book.looked_at(["voice"], now=NOW + 2 * HOUR, before=NOW + HOUR)
    book.looked_at(["voice", "other"], now=NOW + 3 * HOUR, before=NOW)
    assert {(alert.connection, at) for alert, at in book.alerts()} == {("voice", NOW + 2 * HOUR), ("other", NOW)}
    for name in ("voice", "other"):
        book.forget(name, before=NOW + HOUR)
    assert [alert.connection for alert, _ in book.alerts()] == ["voice", "voice"]
