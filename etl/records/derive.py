"""Derives a call's row and children from its records, and notes what was odd. A pure function of the observations."""

from __future__ import annotations

from datetime import datetime

from etl import json_text
from etl.model import JSON, CallRow, Context, Derived, Drift, DriftNote, Record
from etl.provider import Provider
from etl.records.children import children
from etl.records.compiled import BLANK, CALL, NOTES, ROOT, fill, note_unknown, plan_of
from etl.records.reach import type_name
from etl.records.statuses import status_in

_STATUS, _PROVIDER_STATUS = CALL["status"], CALL["provider_status"]
_CREATED, _STARTED, _ENDED = CALL["created_at"], CALL["started_at"], CALL["ended_at"]
_AGENT, _COST, _CURRENCY, _TEST, _ATTRIBUTES, _RAW, _PARENT = (
    CALL[column] for column in ("agent_id", "cost", "currency", "is_test", "attributes", "raw", "parent_call_id")
)


def derive(
    provider: Provider,
    context: Context,
    record: Record,
    *,
    observed_at: datetime,
    detail: Record | None = None,
    detail_observed_at: datetime | None = None,
    detail_due_at: datetime | None = None,
    first_seen_at: datetime | None = None,
    last_changed_at: datetime | None = None,
) -> Derived:
    """
    Return the row, children and drift that follow from one call's records; a pure function of its arguments.

    A key that both records hold is taken from the later observation, or from the detail if both are equally old; but a null says
    nothing, so it never displaces the other record's value, nor does a late part that is empty (it has not arrived). An object or
    a list is one value, taken whole from one record; only a field with its own column is looked for inside the objects of both.
    `first_seen_at` and `last_changed_at` default to `observed_at`. `content_hash` is the list record's digest.
    Raises ValueError for a record with a `rejection`, and for a detail that is not an object or comes without its instant.
    """
    if record.rejection is not None or record.call_id is None or record.cursor is None:
        raise ValueError("a rejected record has no row")
    plan = plan_of(provider)
    notes: list[DriftNote] = []
    listed = merged = record.value
    earlier = None
    if detail is not None:
        if not isinstance(detail.value, dict) or detail_observed_at is None:
            raise ValueError("a detail is an object observed at an instant")
        earlier, later = (listed, detail.value) if detail_observed_at >= observed_at else (detail.value, listed)
        late = provider.late_parts
        merged = earlier | {
            key: value
            for key, value in later.items()
            if earlier.get(key) is None or not (value is None or (key in late and value in ("", [])))
        }
    row = BLANK.copy()
    fill(plan.fields, row, merged, earlier, notes, "")
    note_unknown(plan.shape, merged, notes, "")
    row[_STATUS], row[_PROVIDER_STATUS], unknown = status_in(plan, merged, earlier)
    if unknown is not None:
        notes.append(unknown)
    if plan.by_agent and row[_AGENT] is None:
        row[_AGENT] = context.stream
    started_at, ended_at = row[_STARTED], row[_ENDED]
    if started_at is not None and ended_at is not None and ended_at < started_at:
        notes.append(DriftNote(plan.end_path, Drift.END_BEFORE_START, "string"))
    if record.cleaned or (detail is not None and detail.cleaned):
        notes.append(DriftNote(ROOT, Drift.CLEANED_TEXT, "string"))
    if detail is None:
        occurred_at = row[_CREATED] or started_at or ended_at
    else:  # from the list record only: a detail's arrival must not move the call to another instant
        first = BLANK.copy()
        fill(plan.fields, first, listed, None, [], "")
        occurred_at = first[_CREATED] or first[_STARTED] or first[_ENDED]
    call_id = record.call_id
    participants = children(plan.participants, context, call_id, merged, notes) if plan.participants else ()
    messages = children(plan.messages, context, call_id, merged, notes) if plan.messages else ()
    events = children(plan.events, context, call_id, merged, notes) if plan.events else ()
    row[:4] = (context.connection, call_id, provider.name, occurred_at or record.cursor)
    row[_TEST] = row[_TEST] or False
    row[_CURRENCY] = None if row[_COST] is None else row[_CURRENCY] or context.currency
    if plan.has_attributes:
        row[_ATTRIBUTES] = _attributes(provider, merged, notes)
    row[_RAW:_PARENT] = (
        record.text.decode(),
        None if detail is None else detail.text.decode(),
        first_seen_at or observed_at,
        last_changed_at or observed_at,
        context.stream,
        record.cursor,
        observed_at,
        None if detail is None else detail_observed_at,
        detail_due_at,
        record.digest,
        context.run_id,
    )
    drift = tuple(dict.fromkeys(notes))[:NOTES] if notes else ()
    # As `_make` does, but faster (no call, no length check): every call of a backfill passes here.
    return tuple.__new__(Derived, (tuple.__new__(CallRow, row), participants, drift, messages, events))


def _attributes(provider: Provider, merged: JSON, notes: list[DriftNote]) -> str | None:
    found = {key: merged[key] for key in provider.attributes if key in merged}
    if provider.attributes_object is not None:
        given = merged.get(provider.attributes_object)
        if isinstance(given, dict):
            found |= given
        elif given is not None:
            notes.append(DriftNote(provider.attributes_object, Drift.WRONG_TYPE, type_name(given)))
    return json_text.encoded(found).decode() if found else None
