"""Derives what the history keeps of a superseded version in columns of its own, from the version's records. A pure function."""

from __future__ import annotations

from etl.model import Context
from etl.provider import Provider
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.rederive import own_detail
from etl.records.rows import FilledVersion, OldVersion


def filled(provider: Provider, connection: str, held: OldVersion, *, currency: str) -> FilledVersion:
    """Derive the columns of a version. One whose records are damaged is placed by its cursor, and the rest is not known."""
    record = identify(provider, held.raw.encode(), cleaned=False)
    if record.rejection is not None:
        return FilledVersion(held.call_id, held.version, held.cursor_at)
    detail = own_detail(provider, held.call_id, held.detail)
    call = derive(
        provider,
        Context(connection=connection, stream=held.stream, currency=currency, run_id=0),
        record,
        observed_at=held.observed_at,
        detail=detail,
        detail_observed_at=held.detail_observed_at if detail is not None else None,
    ).call
    return FilledVersion(
        held.call_id,
        held.version,
        call.occurred_at,
        call.direction,
        call.agent_id,
        call.duration_seconds,
        call.cost,
        call.currency,
    )
