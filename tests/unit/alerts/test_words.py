"""What people read of an alert, word for word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from etl.alerts.changes import Alert, Change, Event, Kind, Standing, State
from etl.alerts.words import LONGEST_MESSAGE, messages, paragraph

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

STANDING = Standing(
    connection="voice",
    due_at=NOW - 26 * HOUR,
    fresh_until=NOW - 27 * HOUR,
    last_error="authentication",
    proof="mismatch",
    proved_at=NOW - 9 * HOUR,
    lost_gaps=2,
    newest_call=NOW - 77 * HOUR,
    longest_pause=49 * HOUR,
)


def flat(text: str) -> str:
    return " ".join(text.split())


def change(kind: Kind, event: Event, **given: object) -> Change:
    before = Alert(connection="voice", kind=kind, state=State.OPEN, since=NOW - 26 * HOUR, notified_at=None)
    return Change(event=event, before=before, after=before, standing=replace(STANDING, **given))  # type: ignore[arg-type]


def text(kind: Kind, event: Event, **given: object) -> str:
    return paragraph(change(kind, event, **given), now=NOW)


def test_behind() -> None:
    """What happened, what is safe, what to do next."""
    assert text(Kind.BEHIND, Event.OPENED) == flat("""
        Call warehouse, connection voice: it is behind. Its calls are read up to 2026-03-01 09:00 UTC, and for 1 d 2 h
        no sync has got through; the last one ended with authentication. Everything that was read is safe, and the
        next sync that gets through continues there. What to do: run etl check, and etl runs voice; docs/operating.md
        says what this error means and what helps.
    """)


def test_never_read() -> None:
    """Without an error, the workers are what to look at."""
    assert text(Kind.BEHIND, Event.OPENED, fresh_until=None, last_error=None, due_at=NOW - 3 * HOUR) == flat("""
        Call warehouse, connection voice: it is behind. Not all of it was ever read, and for 3 h 0 min no sync has got
        through. Everything that was read is safe, and the next sync that gets through continues there. What to do:
        run etl check, and etl runs voice; etl queue shows the workers.
    """)


def test_a_proof_that_failed() -> None:
    """The audit changed nothing."""
    assert text(Kind.PROOF_FAILED, Event.OPENED) == flat("""
        Call warehouse, connection voice: the audit of 2026-03-02 03:00 UTC found what does not agree, with the
        provider's totals or within the warehouse. The audit changed nothing, and syncs go on. What to do: run etl
        audit voice, which says what it is, then etl audit voice --repair.
    """)


@pytest.mark.parametrize(("gaps", "words"), [(1, "A gap cannot"), (2, "2 gaps cannot")])
def test_a_gap_that_cannot_be_closed(gaps: int, words: str) -> None:
    """However many there are."""
    assert text(Kind.GAP_LOST, Event.OPENED, lost_gaps=gaps) == flat(f"""
        Call warehouse, connection voice: calls may be missing for good. {words} be closed: the provider's list did
        not reach back to that time any more when it was read. All calls that are held stay, and syncs go on. What to
        do: etl status shows the time; ask the provider for its calls, and sync more often (schedule) from now on.
    """)


def test_no_new_calls() -> None:
    """As long as the calls are read: not what was not read."""
    assert text(Kind.NO_NEW_CALLS, Event.OPENED) == flat("""
        Call warehouse, connection voice: there is no new call since 2026-02-27 07:00 UTC, for 2 d 2 h; the longest
        pause of the 28 days before was 2 d 1 h. Syncs get through, so nothing is missing of what the provider lists.
        What to do: look whether calls are made and recorded there: devices, numbers, agents, the account itself.
    """)


@pytest.mark.parametrize(
    ("kind", "over", "was"),
    [
        (Kind.BEHIND, "it is fresh again: calls are read up to 2026-03-01 09:00 UTC.", "It was behind"),
        (
            Kind.PROOF_FAILED,
            "the audit of 2026-03-02 03:00 UTC no longer finds what does not agree.",
            "An audit had found what does not agree",
        ),
        (Kind.GAP_LOST, "it has no gap any more that cannot be closed.", "A gap could not be closed"),
        (Kind.NO_NEW_CALLS, "there are new calls again, the newest of 2026-02-27 07:00 UTC.", "There was no new call"),
    ],
)
def test_what_is_over(kind: Kind, over: str, was: str) -> None:
    """With when it began."""
    assert text(kind, Event.CLOSED) == flat(f"""
        Call warehouse, connection voice: {over} Nothing needs to be done. ({was} since 2026-03-01 10:00 UTC.)
    """)


def test_what_passed_before_it_could_be_told() -> None:
    """Both in one."""
    assert text(Kind.BEHIND, Event.PASSED) == flat("""
        Call warehouse, connection voice: it was behind since 2026-03-01 10:00 UTC. That could not be told then, and
        it is over: it is fresh again: calls are read up to 2026-03-01 09:00 UTC. Nothing needs to be done.
    """)


def test_many_changes_are_few_messages_none_too_long() -> None:
    """Every change is in one message, in its order."""
    many = [change(Kind.BEHIND, Event.OPENED, connection=f"voice_{number}") for number in range(50)]
    found = list(messages(many, now=NOW))
    assert [one for _, told in found for one in told] == many
    assert [text for text, _ in found] == ["\n\n".join(paragraph(one, now=NOW) for one in told) for _, told in found]
    assert max(len(text) for text, _ in found) <= LONGEST_MESSAGE
    assert len(found) == 8


def test_nothing_to_tell_is_no_message() -> None:
    """Not an empty one."""
    assert list(messages([], now=NOW)) == []
