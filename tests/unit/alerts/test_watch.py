"""What one look does: what it sends, when it holds back, and what it goes on with where something fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from etl.alerts.changes import Alert, Change, Kind
from etl.alerts.port import Facts, HookFailed
from etl.alerts.watch import MOST_MESSAGES, Watch
from etl.errors import UsageError

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MANY = tuple(f"voice_{number:02}" for number in range(50))


class MemoryBook:
    """`Book` in memory. Every connection was read up to `read_until`."""

    def __init__(self, read_until: datetime) -> None:
        self.read_until = read_until
        self.remembered: dict[tuple[str, Kind], Alert] = {}

    def alerts(self) -> list[tuple[Alert, datetime]]:
        return [(alert, NOW) for alert in self.remembered.values()]

    def facts(self, connections: Sequence[str], *, now: datetime) -> list[Facts]:
        assert now >= NOW
        nothing = {"last_error": None, "proof": None, "proved_at": None, "lost_gaps": 0, "newest_call": None}
        read = {"read_until": self.read_until, "fresh_until": self.read_until}
        return [Facts(connection=name, **read, **nothing) for name in connections]  # type: ignore[arg-type]

    def longest_pause(self, connection: str, *, before: datetime) -> timedelta | None:
        raise AssertionError

    def note(self, alert: Alert, *, instead_of: Alert | None, now: datetime) -> None:
        assert self.remembered.get((alert.connection, alert.kind)) == instead_of
        self.remembered[alert.connection, alert.kind] = alert

    def tell(self, told: Sequence[Change], send: Callable[[Sequence[Change]], None], *, now: datetime) -> None:
        send(told)
        self.remembered |= {(one.after.connection, one.after.kind): one.after for one in told}

    def looked_at(self, connections: Sequence[str], *, now: datetime, before: datetime) -> None:
        pass

    def forget(self, connection: str, *, before: datetime) -> None:
        raise AssertionError


class Ear:
    """A hook and a heartbeat that fail with `failure`, where there is one."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.beats = 0
        self.failure: Exception | None = None

    def tell(self, text: str) -> None:
        if self.failure:
            raise self.failure
        self.texts.append(text)

    def beat(self) -> None:
        if self.failure:
            raise self.failure
        self.beats += 1


def watch(book: MemoryBook, ear: Ear, *, connections: Sequence[str] = MANY, grace: timedelta = timedelta()) -> Watch:
    return Watch(
        book=book,
        connections=connections,
        due_after=lambda _name, at: at,
        alert_after=2 * HOUR,
        hook=ear,
        heartbeat=ear,
        grace=grace,
    )


def test_many_changes_take_several_looks() -> None:
    """A few messages each; every connection is told once."""
    book, ear = MemoryBook(NOW - 3 * HOUR), Ear()
    one = watch(book, ear)
    sent = []
    for _ in range(5):
        one.look(NOW)
        sent.append(len(ear.texts))
    assert sent[0] == MOST_MESSAGES
    assert sent[-1] == sent[-2] < 15
    assert ["\n\n".join(ear.texts).count(f"connection {name}:") for name in MANY] == [1] * len(MANY)


@pytest.mark.parametrize("failure", [HookFailed("http_500"), UsageError("the proxy cannot be used.")])
def test_a_failing_hook_ends_nothing(failure: Exception) -> None:
    """Whatever it fails with; everything is told once it works."""
    book, ear = MemoryBook(NOW - 3 * HOUR), Ear()
    one = watch(book, ear, connections=["voice", "devices"])
    ear.failure = failure
    one.look(NOW)
    book.read_until = NOW
    one.look(NOW)
    assert (ear.texts, ear.beats) == ([], 0)
    ear.failure = None
    one.look(NOW)
    (text,) = ear.texts
    assert (text.count("it was behind since"), ear.beats) == (2, 1)


def test_a_worker_that_was_away_syncs_before_it_tells_that_it_is_behind() -> None:
    """It waits for a while; the heartbeat waits until it is not."""
    book, ear = MemoryBook(NOW - 60 * HOUR), Ear()
    one = watch(book, ear, connections=["voice"], grace=timedelta(minutes=5))
    one.look(NOW)
    one.look(NOW + timedelta(minutes=4))
    assert (ear.texts, ear.beats, book.remembered) == ([], 0, {})
    one.look(NOW + timedelta(minutes=5))
    assert (len(ear.texts), ear.beats) == (1, 0)


def test_a_worker_that_was_away_and_got_through_tells_nothing() -> None:
    """As after a weekend."""
    book, ear = MemoryBook(NOW - 60 * HOUR), Ear()
    one = watch(book, ear, connections=["voice"], grace=timedelta(minutes=5))
    one.look(NOW)
    book.read_until = NOW + timedelta(minutes=1)
    for minute in range(1, 9):
        one.look(NOW + timedelta(minutes=minute))
    assert (ear.texts, ear.beats) == ([], 8)


def test_what_was_told_before_a_restart_is_closed_at_once() -> None:
    """The time that a worker is given is about new alerts only."""
    book, ear = MemoryBook(NOW - 3 * HOUR), Ear()
    watch(book, ear, connections=["voice"]).look(NOW)
    book.read_until = NOW
    watch(book, ear, connections=["voice"], grace=HOUR).look(NOW)
    assert ["it is behind" in text for text in ear.texts] == [True, False]
    assert "it is fresh again" in ear.texts[1]
