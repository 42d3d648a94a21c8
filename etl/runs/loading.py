"""
Turns the records of a page into rows: looks up what is held, asks `etl.records` what follows, writes the result.

Runs inside a page's transaction, which holds the fence: nobody else writes to the connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from etl.coverage import Spans
from etl.model import OPEN_STATUSES, Context, Derived, Record, Rejection
from etl.records.agents import named_in
from etl.records.draft import derive_each, draft
from etl.records.identify import as_reject
from etl.records.rederive import changed, relisted
from etl.records.rows import NOTHING, Draft
from etl.runs.account import Account
from etl.runs.erasing import shielded
from etl.runs.port import PageTransaction
from etl.runs.terms import Compared, Elsewhere, Loaded, Observed, Reject


def drafted(account: Account, observed: Observed, *, run_id: int, known: Collection[str]) -> Draft:
    """Prepare rows for the calls of a page that are not `known`. May run in any thread, before the page's transaction."""
    expected = [record for call_id, record in observed.latest.items() if call_id not in known]
    return _draft(account, observed, expected, run_id=run_id)


def load_page(
    page: PageTransaction,
    account: Account,
    observed: Observed,
    *,
    run_id: int,
    covered: Spans,
    listed_there: Callable[[Elsewhere], bool | None],
) -> Loaded:
    """
    Write the records of a page that are new or changed; if an id occurs twice, its last record wins.

    A call that is held in another stream has moved, and its row moves along. Where that stream's list has shown it too in this
    run (`listed_there`), there are two of one id, and the second one is a reject; where that is not known yet (None), nothing is
    written of it.

    A draft made in advance is copied first, without looking anything up. If one of its calls turns out to be held, or the
    database refuses a row, the copy is undone and every record is looked up. New calls inside `covered`, the range that the
    stream had covered before this run, count as late.
    """
    if page.erasing is not None:
        observed = shielded(page.erasing, account, observed, run_id=run_id)
    rejects = [Reject(record, record.rejection) for record in observed.records if record.rejection is not None]
    written = observed.draft if observed.draft.records and page.copy(observed.draft) else NOTHING
    done = {record.call_id for record in written.records}
    asked = [record for call_id, record in observed.latest.items() if call_id not in done]
    compared = page.compare(asked, stream=observed.stream, observed_at=observed.observed_at)
    updates = _updates(account, observed, compared, run_id=run_id)
    new, refused = _insert(page, account, observed, compared.new, run_id=run_id)
    unchanged = len(asked) - len(compared.new) - len(compared.elsewhere) - len(updates)
    places = [(one, listed_there(one)) for one in compared.elsewhere]
    updates += _moved(account, observed, [one for one, there in places if there is False], run_id=run_id)
    refused |= page.update(updates)
    if refused:
        updates = [entry for entry in updates if entry.call.call_id not in refused]
        # If an id occurs more than once on the page, its last record is the one that was tried.
        rejects += [
            Reject(as_reject(account.provider, observed.latest[call_id]), Rejection.DATABASE_REFUSED)
            for call_id in sorted(refused)
        ]
    rejects += [Reject(one.record, Rejection.ID_IN_TWO_STREAMS) for one, there in places if there]
    said = (*written.records, *new.records, *(observed.latest[entry.call.call_id] for entry in updates))
    if named := named_in(account.provider, said):
        page.save_agents(named, observed_at=observed.observed_at)
    drift = written.drift + new.drift + Counter(note for entry in updates for note in entry.drift)
    page.note(stream=observed.stream, rejects=rejects, drift=drift, observed_at=observed.observed_at)
    undecided = {one.record.call_id for one, there in places if there is None}
    page.came_right(observed.latest.keys() - undecided, stream=observed.stream, observed_at=observed.observed_at)
    came = (*written.records, *new.records) if covered else ()
    lateness = [covered.last.end - record.cursor for record in came if record.cursor is not None and record.cursor in covered]
    return Loaded(
        inserted=len(written.records) + len(new.records),
        updated=len(updates),
        unchanged=unchanged,
        rejected=len(rejects),
        late=len(lateness),
        max_lateness=max(lateness, default=None),
        open_ids=compared.open_ids.union(
            written.open_ids, new.open_ids, (entry.call.call_id for entry in updates if entry.call.status in OPEN_STATUSES)
        ),
    )


def context_of(account: Account, stream: str, *, run_id: int) -> Context:
    """Return what deriving a row needs beyond the call's records."""
    return Context(connection=account.connection, stream=stream, currency=account.currency, run_id=run_id)


def _updates(account: Account, observed: Observed, compared: Compared, *, run_id: int) -> list[Derived]:
    """Return the new rows of held calls whose records say something new."""
    context, provider = context_of(account, observed.stream, run_id=run_id), account.provider
    entries = (
        changed(provider, context, record, held, observed_at=observed.observed_at, due_at=observed.due_at)
        for record, held in compared.differing
    )
    return [entry for entry in entries if entry is not None]


def _moved(account: Account, observed: Observed, found: Sequence[Elsewhere], *, run_id: int) -> list[Derived]:
    """Return the rows of calls that have moved to the stream of the page, but for those observed later where they are held."""
    context, provider = context_of(account, observed.stream, run_id=run_id), account.provider
    return [
        relisted(provider, context, one.record, one.held, observed_at=observed.observed_at, due_at=observed.due_at)
        for one in found
        if one.held.observed_at <= observed.observed_at
    ]


def _insert(
    page: PageTransaction, account: Account, observed: Observed, records: Sequence[Record], *, run_id: int
) -> tuple[Draft, frozenset[str]]:
    """Write new calls; return those written and the ids that the database refused."""
    new = _draft(account, observed, records, run_id=run_id)
    if not records or page.copy(new):
        return new, frozenset()
    context = context_of(account, observed.stream, run_id=run_id)
    entries = derive_each(account.provider, context, records, observed_at=observed.observed_at, due_at=observed.due_at)
    refused = page.insert(entries)
    if refused:
        new = _draft(account, observed, [record for record in records if record.call_id not in refused], run_id=run_id)
    return new, refused


def _draft(account: Account, observed: Observed, records: Sequence[Record], *, run_id: int) -> Draft:
    context = context_of(account, observed.stream, run_id=run_id)
    return draft(account.provider, context, records, observed_at=observed.observed_at, due_at=observed.due_at)
