"""What the status page says of one connection, in words and numbers: made from rows, without a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from etl.http.allowance import Use
from etl.printable import age, duration, instant_text, number_of
from etl.runs.terms import RunStatus
from etl.warehouse.reports import status
from etl.warehouse.reports.gaps import Gap, told
from etl.warehouse.reports.remarks import remarks
from etl.warehouse.reports.status import Row
from etl.warehouse.reports.time_lines import TimeLine
from etl.worker.web import picture
from etl.worker.web.allowances import Used
from etl.worker.web.site import Next

PERIODS = 3
"""A connection that is behind for more of its periods needs attention."""

SHOWN_GAPS = 5
SHOWN_RUNS = 8


class Grade(StrEnum):
    """How urgent it is."""

    BAD = "bad"  # somebody should look
    FAIR = "fair"  # something is open that may close by itself
    GOOD = "good"
    NONE = "none"  # nothing is expected of it


class State(NamedTuple):
    """How a connection stands, in a word or two."""

    grade: Grade
    words: str


class Meter(NamedTuple):
    """How much of a limit is used, in words, and as a share."""

    words: str
    share: float


class Trial(NamedTuple):
    """One of the last runs, in words."""

    number: int
    status: str
    started: datetime
    took: str
    requests: str
    changes: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the database and the configuration know of a connection; `row` is None before its first run."""

    name: str
    provider: str
    configured: bool
    row: Row | None = None
    line: TimeLine | None = None
    gaps: Sequence[Gap] = ()
    runs: Sequence[Row] = ()
    due: Next | None = None
    used: Used | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All that is shown of a connection; None where there is nothing to show."""

    name: str
    provider: str
    state: State
    line: picture.Picture | None
    complete_until: datetime | None
    lag: str | None
    next_due: str | None
    proof: str | None
    calls: str | None
    open_calls: int
    account: int | None
    meters: tuple[Meter, ...]
    strip: picture.Strip | None
    runs: tuple[Trial, ...]
    error: str | None
    findings: tuple[str, ...]


def card_of(facts: Facts, *, now: datetime) -> Card:
    """Return what is shown of a connection."""
    row = facts.row
    return Card(
        name=facts.name,
        provider=facts.provider,
        state=_state(facts),
        line=picture.time_line(facts.line),
        complete_until=row["high_water_mark"] if row else None,
        lag=age(row["lag"]) if row and row["lag"] is not None else None,
        next_due=_next_due(facts, now),
        proof=status.proof(row, now=now) if row else None,
        calls=f"{row['calls']:,}" if row else None,
        open_calls=row["open_calls"] or 0 if row else 0,
        account=facts.used.account if facts.used else None,
        meters=tuple(_meter(use) for use in facts.used.limits) if facts.used else (),
        strip=picture.strip(facts.runs),
        runs=tuple(_trial(run) for run in facts.runs[:SHOWN_RUNS]),
        error=_error(facts.runs, now),
        findings=tuple(_findings(facts)),
    )


def _state(facts: Facts) -> State:
    row = facts.row
    if not facts.configured:
        return State(Grade.NONE, "Not configured any more")
    if row is None or row["last_status"] is None:
        return State(Grade.FAIR, "Not synced yet")
    ended = _ended(facts.runs)
    if ended is not None and ended["status"] in (RunStatus.FAILED, RunStatus.CRASHED):
        return State(Grade.BAD, "Failing")
    if facts.due is not None and row["lag"] is not None and row["lag"] > PERIODS * facts.due.period:
        return State(Grade.BAD, "Behind")
    if row["audit_verdict"] == "mismatch":
        return State(Grade.BAD, "Does not agree")
    if any(not gap.closable for gap in facts.gaps):
        return State(Grade.BAD, "Has a gap")
    if facts.gaps:
        return State(Grade.FAIR, "Reading the past")
    if ended is not None and ended["status"] == RunStatus.PARTIAL:
        return State(Grade.FAIR, "In part")
    if row["not_begun"]:
        return State(Grade.NONE, "Begins later")
    return State(Grade.GOOD, "Fresh")


def _ended(runs: Sequence[Row]) -> Row | None:
    """Return the newest sync that ended; a replay, say, tells nothing of a provider."""
    return next((run for run in runs if run["kind"] == "sync" and run["status"] != RunStatus.RUNNING), None)


def _next_due(facts: Facts, now: datetime) -> str | None:
    if facts.runs and facts.runs[0]["status"] == RunStatus.RUNNING:
        return f"at work for {age(now - facts.runs[0]['started_at'])}"
    if facts.due is None:
        return None
    if facts.due.at is None or facts.due.at <= now:
        return "due now"
    return f"in {age(facts.due.at - now)}"


def _meter(use: Use) -> Meter:
    share = min(use.used / use.allowed, 1.0) if use.allowed else 1.0
    return Meter(f"{use.used:,} of {number_of(use.allowed, 'request')} {_within(use.per)}", share)


def _within(per: timedelta | None) -> str:
    if per is None:
        return "today (UTC)"
    one = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}.get(int(per.total_seconds()))
    return f"in a {one}" if one and one != "hour" else f"in {'an hour' if one else duration(per)}"


def _trial(run: Row) -> Trial:
    written = [(run["inserted"], "new"), (run["updated"], "changed"), (run["deleted"], "gone"), (run["rejected"], "rejected")]
    return Trial(
        number=run["id"],
        status=run["status"] if run["kind"] == "sync" else f"{run['kind']} {run['status']}",
        started=run["started_at"],
        took=duration(run["finished_at"] - run["started_at"]) if run["finished_at"] else "",
        requests=f"{run['requests']:,}",
        changes=", ".join(f"{count:,} {what}" for count, what in written if count) or "nothing new",
        error=run["error_code"] or "",
    )


def _error(runs: Sequence[Row], now: datetime) -> str | None:
    """Return what the newest ended sync failed with, and what to do; None where it did not."""
    ended = _ended(runs)
    if ended is None or not (ended["error_message"] or ended["status"] == RunStatus.CRASHED):
        return None
    when = f"{age(now - (ended['finished_at'] or ended['started_at']))} ago"
    if ended["status"] == RunStatus.CRASHED:
        return (
            f"Run {ended['id']} was killed, as was found {when}. What it had committed stays, and the next run continues there."
        )
    how = "failed" if ended["status"] == RunStatus.FAILED else f"ended {ended['status']}"
    return f"Run {ended['id']} {how} {when}. {ended['error_message']}"


def _findings(facts: Facts) -> Iterator[str]:
    row = facts.row
    if row is None:
        return
    if row["audit_verdict"] == "mismatch":
        yield f"What is held does not agree with the provider's count. To see what: etl audit {facts.name}; to mend it: --repair"
    # A stream may have a person's name, where a provider's agents are people: gaps are told by their times alone.
    for gap in facts.gaps[:SHOWN_GAPS]:
        yield _sentence(told(gap))
    if len(facts.gaps) > SHOWN_GAPS:
        yield f"And {number_of(len(facts.gaps) - SHOWN_GAPS, 'more gap')}, see: etl status"
    for remark in remarks(row):
        yield _sentence(remark.text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def moment(at: datetime) -> str:
    """Return an instant to the minute."""
    return f"{instant_text(at.replace(second=0, microsecond=0))[:-3]} UTC"
