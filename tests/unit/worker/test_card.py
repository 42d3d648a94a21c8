"""What the status page says of one connection: its state by the gravest thing that is known, and everything else in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl.http.allowance import Use
from etl.warehouse.reports.gaps import Gap, Why
from etl.worker.web.allowances import Used
from etl.worker.web.card import Facts, Grade, Meter, card_of, moment
from etl.worker.web.site import Next

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
QUARTER = Next(NOW + 5 * MINUTE, 15 * MINUTE)
LOST = Gap("pairing", "calls", NOW - 9 * HOUR, NOW - 8 * HOUR, Why.BELOW_HORIZON)
OPEN = LOST._replace(why=Why.NOT_READ_YET)


def row(**changes: Any) -> dict[str, Any]:
    """A row of `etl status`, of a connection that is as it should be."""
    held: dict[str, Any] = {"connection": "pairing", "provider": "tuple", "clocks": None, "last_status": "succeeded"}
    held |= {"high_water_mark": NOW - 2 * MINUTE, "lag": 2 * MINUTE, "calls": 12_345, "open_calls": 0, "rejects": 0, "drift": 0}
    held |= {"details_failing": 0, "max_lateness": None, "not_begun": None, "no_call_yet": False, "lookback": HOUR}
    held |= {"near_lookback": False, "audited_at": NOW - 3 * HOUR, "audit_verdict": "complete", "audit_provider_count": 12_345}
    return held | {"audit_known_count": 12_345, "audit_held_count": 12_345} | changes


def run(number: int, **changes: Any) -> dict[str, Any]:
    """A run that succeeded two minutes ago."""
    ended: dict[str, Any] = {"id": number, "kind": "sync", "status": "succeeded", "started_at": NOW - 2 * MINUTE}
    ended |= {"finished_at": NOW - 2 * MINUTE + timedelta(seconds=3), "requests": 1, "inserted": 0, "updated": 0, "deleted": 0}
    return ended | {"rejected": 0, "error_code": None, "error_message": None} | changes


FAILED = {"status": "failed", "error_code": "refused", "error_message": "Connection pairing: it was refused. Do this."}


def facts(**changes: Any) -> Facts:
    """A connection that is as it should be, changed."""
    known: dict[str, Any] = {"name": "pairing", "provider": "tuple", "configured": True, "row": row(), "due": QUARTER}
    return Facts(**known | {"runs": (run(2), run(1))} | changes)


@pytest.mark.parametrize(
    ("changes", "grade", "words"),
    [
        ({}, Grade.GOOD, "Fresh"),
        ({"row": None, "runs": ()}, Grade.FAIR, "Not synced yet"),
        ({"configured": False, "runs": (run(2, **FAILED),)}, Grade.NONE, "Not configured any more"),
        ({"runs": (run(2, **FAILED), run(1)), "gaps": (LOST,)}, Grade.BAD, "Failing"),
        ({"runs": (run(2, status="crashed"), run(1))}, Grade.BAD, "Failing"),
        ({"runs": (run(3, status="running", finished_at=None), run(2, **FAILED))}, Grade.BAD, "Failing"),
        ({"runs": (run(3, kind="replay"), run(2, **FAILED))}, Grade.BAD, "Failing"),
        ({"row": row(lag=45 * MINUTE)}, Grade.GOOD, "Fresh"),
        ({"row": row(lag=46 * MINUTE)}, Grade.BAD, "Behind"),
        ({"row": row(lag=46 * MINUTE), "due": Next(None, 24 * HOUR)}, Grade.GOOD, "Fresh"),
        ({"row": row(audit_verdict="mismatch"), "gaps": (LOST,)}, Grade.BAD, "Does not agree"),
        ({"gaps": (OPEN, LOST)}, Grade.BAD, "Has a gap"),
        ({"gaps": (OPEN,)}, Grade.FAIR, "Reading the past"),
        ({"runs": (run(2, status="partial", error_code="budget_spent"),)}, Grade.FAIR, "In part"),
        ({"row": row(not_begun="start_date is in the future", lag=None)}, Grade.NONE, "Begins later"),
    ],
)
def test_the_gravest_thing_is_the_state(changes: dict[str, Any], grade: Grade, words: str) -> None:
    """A replay, and a run that goes on, say nothing of how the last sync ended; behind is more than three periods."""
    assert card_of(facts(**changes), now=NOW).state == (grade, words)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "in 5 minutes"),
        ({"due": Next(NOW, 15 * MINUTE)}, "due now"),
        ({"due": Next(None, 15 * MINUTE)}, "due now"),
        ({"due": None}, None),
        ({"runs": (run(3, status="running", finished_at=None, started_at=NOW - 40 * MINUTE),)}, "at work for 40 minutes"),
    ],
)
def test_when_it_is_synced_next(changes: dict[str, Any], said: str | None) -> None:
    """Or that it is at work."""
    assert card_of(facts(**changes), now=NOW).next_due == said


def test_what_the_last_sync_failed_with_is_told_with_what_to_do() -> None:
    """In the error's own words; of one that was killed, that nothing is to be done."""
    killed = run(7, status="crashed", finished_at=NOW - 3 * HOUR)
    told = [card_of(facts(runs=runs), now=NOW).error for runs in ((run(2, **FAILED),), (killed,), (run(8), run(7, **FAILED)))]

    assert told == [
        "Run 2 failed 1 minute ago. Connection pairing: it was refused. Do this.",
        "Run 7 was killed, as was found 3 hours ago. What it had committed stays, and the next run continues there.",
        None,
    ]


def test_the_proof_is_in_words_and_a_mismatch_says_what_to_do() -> None:
    """As `etl status` has it."""
    good = card_of(facts(), now=NOW)
    bad = card_of(facts(row=row(audit_verdict="mismatch", audit_held_count=12_340, audit_known_count=12_340)), now=NOW)

    assert (good.proof, good.findings) == ("12,345 of 12,345 calls, 3 hours ago", ())
    assert bad.proof == "mismatch: 12,340 of 12,345 calls, 3 hours ago"
    assert bad.findings == (
        "What is held does not agree with the provider's count. To see what: etl audit pairing; to mend it: --repair",
    )


def test_many_gaps_are_told_by_the_first_ones() -> None:
    """And by how many there are more."""
    found = card_of(facts(gaps=(OPEN,) * 7), now=NOW).findings

    assert found[0] == "Not read from 2026-03-01 03:00:00 to 2026-03-01 04:00:00: no run has come so far; the next ones go on."
    assert (len(found), found[-1]) == (6, "And 2 more gaps, see: etl status")


def test_an_allowance_is_told_by_the_time_that_it_is_for() -> None:
    """A rolling window, or the UTC day of a budget; nothing is over full."""
    limits = (Use(MINUTE, 30, 60), Use(timedelta(hours=24), 5, 5000), Use(timedelta(seconds=90), 1, 1), Use(None, 12, 10))

    assert card_of(facts(used=Used(2, limits)), now=NOW).meters == (
        Meter("30 of 60 requests in a minute", 0.5),
        Meter("5 of 5,000 requests in a day", 0.001),
        Meter("1 of 1 request in 1m 30s", 1.0),
        Meter("12 of 10 requests today (UTC)", 1.0),
    )


def test_the_last_runs_are_told() -> None:
    """Oldest first in the strip, newest first in the table; what was written, and what a replay was."""
    runs = (run(3, kind="replay", status="running", finished_at=None), run(2, inserted=1_500, deleted=2), run(1, **FAILED))
    card = card_of(facts(runs=runs), now=NOW)

    assert card.strip == (("failed", "succeeded", "running"), "Last 3 runs: 1 running, 1 succeeded, 1 failed.")
    assert [(one.number, one.status, one.took, one.changes, one.error) for one in card.runs] == [
        (3, "replay running", "", "nothing new", ""),
        (2, "succeeded", "3s", "1,500 new, 2 gone", ""),
        (1, "failed", "3s", "nothing new", "refused"),
    ]
    assert moment(card.runs[0].started) == "2026-03-01 11:58 UTC"
