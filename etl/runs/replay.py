"""
A replay derives everything held of a connection again: first its rejects, then every row, in batches; then old versions.

Each batch is one transaction behind the fence. If a replay is cut off, some rows follow the new mapping and others do not yet;
the next replay starts from the beginning and writes only those that still differ.
"""

from __future__ import annotations

from threading import Event

from etl.errors import Interrupted
from etl.printable import number_of
from etl.records.versions import filled
from etl.runs.account import Account
from etl.runs.lifecycle import Run, Surroundings, carry_out, under_lock
from etl.runs.port import FIRST, Departures, ReplayWarehouse
from etl.runs.repeated import repeated
from etl.runs.retrying import Tried, try_rejects
from etl.runs.rewriting import ROWS, Rewritten, rewrite_stretch
from etl.runs.terms import Finding, Outcome, RunKind, RunStatus

STREAM = "replay"
"""The stream name given to the watcher: a replay goes through all streams of a connection together."""


def replay_connection(account: Account, *, given: Surroundings[ReplayWarehouse]) -> Outcome:
    """
    Try a connection's rejects again and derive all of its rows again. Raises nothing but programming errors.

    The outcome's counters: `records_seen` are the calls and rejects looked at, `updated` the calls written, `inserted` the
    rejects that became new calls, `rejected` those that remain rejects. There is no run id if there was nothing to replay or
    another run is in progress.
    """
    outcome = Outcome(connection=account.connection)

    def derive(run: Run) -> None:
        _replay(account, run.run_id, given=given, outcome=outcome)

    def replay() -> None:
        if given.warehouse.is_known(account.connection):
            carry_out(derive, account, kind=RunKind.REPLAY, given=given, outcome=outcome)
        else:
            outcome.status = RunStatus.SUCCEEDED

    under_lock(replay, warehouse=given.warehouse, outcome=outcome)
    return outcome


def _replay(account: Account, run_id: int, *, given: Surroundings[ReplayWarehouse], outcome: Outcome) -> None:
    given.watcher.stream_started(account.connection, STREAM)
    try:
        _try_rejects(account, run_id, given=given, outcome=outcome)
        found = _rewrite(account, run_id, given=given, outcome=outcome)
        _fill_history(account, run_id, given=given)
    finally:
        given.watcher.stream_finished(account.connection, STREAM)
    given.warehouse.save_departures(account, run_id=run_id, found=found, now=given.clock.now())


def _try_rejects(account: Account, run_id: int, *, given: Surroundings[ReplayWarehouse], outcome: Outcome) -> None:
    counters, after = outcome.counters, FIRST

    def try_some() -> Tried | None:
        with given.warehouse.page(account, run_id=run_id) as page:
            return try_rejects(page, account, run_id=run_id, after=after, now=given.clock.now())

    while (tried := repeated(try_some, clock=given.clock)) is not None:
        after = tried.last
        counters.records_seen += tried.seen
        counters.inserted += tried.inserted
        counters.updated += tried.updated
        counters.rejected += tried.seen - tried.resolved
        _check_stop(account, given.stop)


def _rewrite(account: Account, run_id: int, *, given: Surroundings[ReplayWarehouse], outcome: Outcome) -> Departures:
    counters, after = outcome.counters, ""
    total = given.warehouse.calls_held(account.connection)
    underivable = refused = 0
    departures: dict[tuple[str, str], tuple[int, str]] = {}

    def rewrite_some() -> Rewritten | None:
        with given.warehouse.page(account, run_id=run_id) as page:
            return rewrite_stretch(page, account, run_id=run_id, after=after)

    while (done := repeated(rewrite_some, clock=given.clock)) is not None:
        after = done.last
        counters.records_seen += done.seen
        counters.updated += done.written
        counters.unchanged += done.seen - done.written
        underivable, refused = underivable + done.underivable, refused + done.refused
        for where, (count, sample) in done.departures.items():
            departures[where] = (departures.get(where, (0, ""))[0] + count, sample)
        given.watcher.page_loaded(account.connection, STREAM, records=done.seen, total=total)
        _check_stop(account, given.stop)
    if underivable:
        text = f"{number_of(underivable, 'call')} can no longer be derived from the records held; nothing was changed there."
        outcome.findings.append(Finding(stream=STREAM, code="underivable", text=text))
    if refused:
        text = f"{number_of(refused, 'call')} would get a row that the database refuses; nothing was changed there."
        outcome.findings.append(Finding(stream=STREAM, code="database_refused", text=text))
    return departures


def _fill_history(account: Account, run_id: int, *, given: Surroundings[ReplayWarehouse]) -> None:
    """Derive what superseded versions were that the history kept as records only."""

    def fill_some() -> int:
        with given.warehouse.page(account, run_id=run_id) as page:
            held = page.unfilled_versions(limit=ROWS)
            page.fill_versions([filled(account.provider, account.connection, one, currency=account.currency) for one in held])
            return len(held)

    while repeated(fill_some, clock=given.clock):
        _check_stop(account, given.stop)


def _check_stop(account: Account, stop: Event) -> None:
    if stop.is_set():
        raise Interrupted(
            "the replay was interrupted.",
            safe="What it had written is committed, and right.",
            hint="Run it again: it looks at everything anew, and writes only what is not right yet.",
        )
