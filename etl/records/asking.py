"""Decides whether a call's detail is worth a request, by what its records say already. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etl.model import JSON, OPEN_STATUSES, Derived, Record, Status
from etl.provider import Provider, When

_ANSWERED = (Status.COMPLETED, Status.VOICEMAIL)


def late_parts_missing(provider: Provider, status: str, *values: JSON) -> bool:
    """
    Whether parts of an ended call may still arrive, judging by its unified status and its decoded records.

    That is so only for calls in which somebody may have spoken: completed ones and voicemail. A text or an address has arrived
    once it is not empty. A list may still grow, and no record says that it is whole, so it always counts as missing.
    """
    if status not in _ANSWERED:
        return False
    return any(not any(_arrived(value.get(key)) for value in values) for key in provider.late_parts)


def _arrived(part: JSON) -> bool:
    return bool(part) and not isinstance(part, list)


def is_worth_asking(provider: Provider, status: str, *values: JSON) -> bool:
    """Whether the detail of a call of this status may bring what these decoded records of it do not hold."""
    when = When.ALWAYS if provider.detail is None else provider.detail.when
    if when is When.ALWAYS or status in OPEN_STATUSES:
        return True
    return when is When.LATE and late_parts_missing(provider, status, *values)


def due_where_worth(provider: Provider, entry: Derived, record: Record, detail: Record | None = None) -> Derived:
    """Return a call just listed, its detail due only where it is worth a request."""
    values = (record.value,) if detail is None else (record.value, detail.value)
    if entry.call.detail_due_at is None or is_worth_asking(provider, entry.call.status, *values):
        return entry
    return entry._replace(call=entry.call._replace(detail_due_at=None))


def dues(provider: Provider, statuses: Sequence[str], records: Sequence[Record], due_at: datetime) -> list[datetime | None]:
    """Return for each of many calls just listed when its detail is due."""
    return [
        due_at if is_worth_asking(provider, status, record.value) else None
        for status, record in zip(statuses, records, strict=True)
    ]
