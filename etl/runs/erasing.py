"""
Keeps what was erased out of every page, and cuts what is held of calls that are erased.

All of it runs inside a page's transaction, behind the fence, and only where something was ever erased: `PageTransaction.erasing`
is None elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from etl.model import CallRow, Derived, Record
from etl.provider import Provider
from etl.records.content import same_text
from etl.records.cutting import cut, cut_detail
from etl.records.differences import KINDS, Family, differing_columns, differing_kinds, families
from etl.records.identify import as_reject, identify
from etl.records.rederive import derived_again
from etl.records.rows import NOTHING, Rewrite
from etl.records.shield import Cut, Shield
from etl.runs.account import Account
from etl.runs.port import Cutting, ErasingPage, KeptVersion, RejectText
from etl.runs.terms import Observed


def shielded(erasing: ErasingPage, account: Account, observed: Observed, *, run_id: int) -> Observed:
    """
    Return a page without what is erased of it. Rows that were prepared in advance are dropped if there is anything.

    A call in which somebody erased appears is erased from now on, whatever else is read of it, and what is held of it at once.
    """
    records = shield_records(erasing, account, observed.records, run_id=run_id)
    if all(one is other for one, other in zip(records, observed.records, strict=True)):
        return observed
    return replace(observed, records=records, draft=NOTHING)


def shield_records(erasing: ErasingPage, account: Account, records: Sequence[Record], *, run_id: int) -> list[Record]:
    """Return records without what is erased of them, as `shielded` does; one of which nothing is erased is returned itself."""
    cuts = _cuts(erasing, account, records, run_id=run_id)
    return [cut(account.provider, record, how, erasing.shield) for record, how in zip(records, cuts, strict=True)]


def shielded_row(erasing: ErasingPage, account: Account, row: CallRow, record: Record, *, run_id: int) -> tuple[CallRow, Record]:
    """Return a held call's row, of which its detail counts, and a newer list record without what is erased of them."""
    (how,) = _cuts(erasing, account, [record], run_id=run_id)
    left = cut(account.provider, record, how, erasing.shield)
    return row._replace(detail=_cut_text(account.provider, row.detail, how, erasing.shield)), left


def _cuts(erasing: ErasingPage, account: Account, records: Sequence[Record], *, run_id: int) -> list[Cut]:
    """Decide what is cut of each record. A call in which somebody erased is met is erased at once, all of it."""
    shield = erasing.shield
    erased = erasing.erased_among({record.call_id for record in records if record.call_id is not None})
    clear = not shield.may_name(one.text for one in records if one.call_id not in erased and _is_plain(one))
    named = [one.call_id not in erased and not (clear and _is_plain(one)) and _is_named(shield, one) for one in records]
    met = {record.call_id for record, is_named in zip(records, named, strict=True) if is_named and record.call_id is not None}
    if met:
        erase_held(erasing, account, met, run_id=run_id)
    whole = erased | met
    return [
        Cut.PERSONS if is_named or record.call_id in whole else shield.by_age(record.cursor)
        for record, is_named in zip(records, named, strict=True)
    ]


def shielded_detail(
    erasing: ErasingPage, account: Account, call_id: str, detail: Record, *, cursor: datetime | None, run_id: int
) -> Record:
    """Return a call's detail without what is erased of it, as `shielded` does of a page; `cursor` is where the call stands."""
    shield = erasing.shield
    if erasing.erased_among({call_id}):
        return cut_detail(account.provider, detail, Cut.PERSONS, shield)
    if shield.names(detail.value):
        erase_held(erasing, account, {call_id}, run_id=run_id)
        return cut_detail(account.provider, detail, Cut.PERSONS, shield)
    return cut_detail(account.provider, detail, shield.by_age(cursor), shield)


def erase_held(erasing: ErasingPage, account: Account, call_ids: Collection[str], *, run_id: int) -> Cutting:
    """Note that these calls are erased, and cut what is held of them: rows and children, versions, rejects."""
    erasing.note_erased(call_ids)
    return cut_held(erasing, account, call_ids, Cut.PERSONS, run_id=run_id)


def cut_held(erasing: ErasingPage, account: Account, call_ids: Collection[str], how: Cut, *, run_id: int) -> Cutting:
    """Cut what is held of these calls in place, and return how much was; what is cut already is left as it is."""
    if not call_ids:
        return Cutting()
    shield, provider = erasing.shield, account.provider
    held = erasing.held_whole(call_ids)
    theirs = families(held, {row.call_id for row in held.calls})
    rewrites = [
        rewrite
        for row in held.calls
        if (rewrite := _cut_row(account, row, theirs.get(row.call_id, Family()), how, shield, run_id=run_id)) is not None
    ]
    refused = erasing.rewrite(rewrites)
    if refused:
        raise AssertionError("what is left of an erased call cannot be refused: it was stored before")
    versions = [
        changed for one in erasing.versions_of(call_ids) if (changed := _cut_version(provider, one, how, shield)) is not None
    ]
    erasing.rewrite_versions(versions)
    rejects = cut_rejects(erasing, provider, erasing.rejects_of(call_ids), how)
    return Cutting(calls=len(rewrites), versions=len(versions), rejects=rejects)


def cut_rejects(erasing: ErasingPage, provider: Provider, rejects: Sequence[RejectText], how: Cut) -> int:
    """Cut the texts of rejects, and return of how many; each keeps an identity under which the next sighting finds it."""
    changed = []
    for one in rejects:
        record = identify(provider, one.raw_text.encode(), cleaned=False)
        if record.rejection is not None:
            record = record._replace(digest=_digest_in(one.record_key))
        left = cut(provider, record, how, erasing.shield)
        if left is not record:
            key = as_reject(provider, left).digest if record.rejection is None else left.digest
            changed.append((one, left.text.decode(), key.hex()))
    erasing.rewrite_rejects(changed)
    return len(changed)


def _is_plain(record: Record) -> bool:
    """Whether a record is JSON in which nothing is escaped."""
    return record.rejection is None and b"\\" not in record.text


def _is_named(shield: Shield, record: Record) -> bool:
    value = record.value
    return shield.names_in_text(record.text.decode("utf-8", "replace")) if value is None else shield.names(value)


def _digest_in(record_key: str) -> bytes:
    try:
        return bytes.fromhex(record_key)
    except ValueError:  # not one of ours; it becomes one
        return record_key.encode()


def _cut_row(account: Account, row: CallRow, family: Family, how: Cut, shield: Shield, *, run_id: int) -> Rewrite | None:
    """Return how a held call is rewritten without what is erased of it; None if there is nothing of it."""
    provider = account.provider
    seen = identify(provider, row.raw.encode(), cleaned=False)._replace(digest=row.content_hash)
    record, detail = cut(provider, seen, how, shield), _cut_text(provider, row.detail, how, shield)
    if record.rejection is not None or record.call_id != row.call_id:
        entry = _bare(row, record, detail, run_id=run_id)
    else:
        currency = row.currency or account.currency  # a connection need not be configured any more
        entry = derived_again(provider, row._replace(detail=detail), record, currency=currency, run_id=run_id)
    told = same_text(row.raw, record.text.decode()) and same_text(row.detail, detail)
    if told and not differing_columns(row, entry.call) and not differing_kinds(family, entry):
        return None
    return Rewrite(entry, ("raw", "detail"), KINDS)


def _bare(row: CallRow, record: Record, detail: str | None, *, run_id: int) -> Derived:
    """Return what may stay of a row whose record does not lead to it, so that it cannot be derived."""
    left = row._replace(
        from_address=None,
        to_address=None,
        end_reason=None,
        error_reason=None,
        recording_url=None,
        transcript=None,
        attributes=None,
        raw=record.text.decode(),
        detail=detail,
        content_hash=record.digest,
        last_run_id=run_id,
    )
    return Derived(left, (), ())


def _cut_version(provider: Provider, version: KeptVersion, how: Cut, shield: Shield) -> KeptVersion | None:
    """Return a superseded version without what is erased of it; None if there is nothing of it."""
    seen = identify(provider, version.raw.encode(), cleaned=False)._replace(digest=version.content_hash)
    record, detail = cut(provider, seen, how, shield), _cut_text(provider, version.detail, how, shield)
    if same_text(version.raw, record.text.decode()) and same_text(version.detail, detail):
        return None
    return version._replace(raw=record.text.decode(), detail=detail, content_hash=record.digest)


def _cut_text(provider: Provider, text: str | None, how: Cut, shield: Shield) -> str | None:
    """Return a held detail without what is erased of it."""
    if text is None:
        return None
    return cut_detail(provider, identify(provider, text.encode(), cleaned=False), how, shield).text.decode()
