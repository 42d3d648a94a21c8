"""
What people read of an alert: what happened, what is safe, what to do next.

Names of connections, instants, numbers and our own words only: a message goes to somebody else's service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from etl.alerts.changes import Change, Event, Kind, Standing

LONGEST_MESSAGE = 3_000
"""Characters. Some services cut longer texts, or refuse them."""


def messages(changes: Iterable[Change], *, now: datetime) -> Iterator[tuple[str, Sequence[Change]]]:
    """Yield the texts that tell all changes, and which of them each tells: few messages, none of them too long."""
    text, told = "", list[Change]()
    for change in changes:
        part = paragraph(change, now=now)
        if told and len(text) + len(part) + 2 > LONGEST_MESSAGE:
            yield text, told
            text, told = "", []
        text, told = f"{text}\n\n{part}" if told else part, [*told, change]
    if told:
        yield text, told


def paragraph(change: Change, *, now: datetime) -> str:
    """Return the sentences that tell a change."""
    told, standing = change.before, change.standing
    name = f"Call warehouse, connection {standing.connection}:"
    if change.event is Event.OPENED:
        return f"{name} {_OPENED[told.kind](standing, now)}"
    ended = _CLOSED[told.kind](standing)
    if change.event is Event.PASSED:
        return f"{name} {_NAMES[told.kind]} since {_at(told.since)}. That could not be told then, and it is over: {ended}"
    return f"{name} {ended} ({_NAMES[told.kind].capitalize()} since {_at(told.since)}.)"


# ── What happened, what is safe, what to do next ────────────────────────────────────────────────────────────────────

_NAMES = {
    Kind.BEHIND: "it was behind",
    Kind.PROOF_FAILED: "an audit had found what does not agree",
    Kind.GAP_LOST: "a gap could not be closed",
    Kind.NO_NEW_CALLS: "there was no new call",
}


def _behind(standing: Standing, now: datetime) -> str:
    read = f"Its calls are read up to {_at(standing.fresh_until)}" if standing.fresh_until else "Not all of it was ever read"
    error = f"; the last one ended with {standing.last_error}" if standing.last_error else ""
    helps = (
        "docs/operating.md says what this error means and what helps" if standing.last_error else "etl queue shows the workers"
    )
    return (
        f"it is behind. {read}, and for {_lasting(now - standing.due_at)} no sync has got through{error}. "
        "Everything that was read is safe, and the next sync that gets through continues there. "
        f"What to do: run etl check, and etl runs {standing.connection}; {helps}."
    )


def _proof_failed(standing: Standing, _now: datetime) -> str:
    return (
        f"the audit of {_at(standing.proved_at)} found what does not agree, with the provider's totals or within the warehouse. "
        "The audit changed nothing, and syncs go on. "
        f"What to do: run etl audit {standing.connection}, which says what it is, then etl audit {standing.connection} --repair."
    )


def _gap_lost(standing: Standing, _now: datetime) -> str:
    gaps = "A gap" if standing.lost_gaps == 1 else f"{standing.lost_gaps} gaps"
    return (
        f"calls may be missing for good. {gaps} cannot be closed: the provider's list did not reach back to that time any more "
        "when it was read. All calls that are held stay, and syncs go on. "
        "What to do: etl status shows the time; ask the provider for its calls, and sync more often (schedule) from now on."
    )


def _no_new_calls(standing: Standing, _now: datetime) -> str:
    pause = _lasting(standing.longest_pause or timedelta())
    return (
        f"there is no new call since {_at(standing.newest_call)}, for {_lasting(standing.silence)}; the longest pause of the 28 "
        f"days before was {pause}. Syncs get through, so nothing is missing of what the provider lists. "
        "What to do: look whether calls are made and recorded there: devices, numbers, agents, the account itself."
    )


_OPENED = {
    Kind.BEHIND: _behind,
    Kind.PROOF_FAILED: _proof_failed,
    Kind.GAP_LOST: _gap_lost,
    Kind.NO_NEW_CALLS: _no_new_calls,
}
_CLOSED: dict[Kind, Callable[[Standing], str]] = {
    Kind.BEHIND: lambda standing: (
        f"it is fresh again{f': calls are read up to {_at(standing.fresh_until)}' if standing.fresh_until else ''}. "
        "Nothing needs to be done."
    ),
    Kind.PROOF_FAILED: lambda standing: (
        f"the audit of {_at(standing.proved_at)} no longer finds what does not agree. Nothing needs to be done."
    ),
    Kind.GAP_LOST: lambda _standing: "it has no gap any more that cannot be closed. Nothing needs to be done.",
    Kind.NO_NEW_CALLS: lambda standing: (
        f"there are new calls again, the newest of {_at(standing.newest_call)}. Nothing needs to be done."
    ),
}


def _at(instant: datetime | None) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if instant is not None else "an unknown time"


def _lasting(time: timedelta) -> str:
    """Return a duration with its two largest units, minutes at the least."""
    minutes = max(0, time // timedelta(minutes=1))
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
