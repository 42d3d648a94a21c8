"""Compares the order of the records on a page with the one that the form says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from etl.model import JSON
from etl.provider import Order, Provider, all_of
from etl.testing.clocks import KINDS, kind_of
from etl.testing.faults import Fault
from etl.testing.leaves import Place, dotted, leaves
from etl.testing.payloads import Payloads, name_of, records_in
from etl.testing.records import record_of


def faults_in_order(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield whether the records of a page stand in the order that the form says."""
    ascending = provider.listing.order is Order.ASCENDING
    for place, page in enumerate(payloads.pages):
        inside = records_in(provider, page.get("body")) or []
        cursors = [record.cursor for value in inside if (record := record_of(provider, value)).cursor is not None]
        if len(set(cursors)) < 2 or cursors == sorted(cursors, reverse=not ascending):
            continue
        name, other = name_of("pages", place, page), Order.NEWEST_FIRST if ascending else Order.ASCENDING
        if cursors == sorted(cursors, reverse=ascending):
            yield Fault(
                "listing.order",
                f"it is {provider.listing.order.name}, and {name} lists the other way round",
                f"Ask for the other order, if the API can be asked; else it is Order.{other.name}"
                f"{', which needs no filter' if ascending else ', if it can be filtered by the cursor too'}.",
            )
        else:
            sorted_by = _sorted_keys(inside, descending=not ascending)
            found = f"It is in order by {', '.join(f'`{key}`' for key in sorted_by)}." if sorted_by else ""
            yield Fault(
                "cursor",
                f"{name} is not in the order of `{', '.join(all_of(provider.cursor))}`",
                f"The cursor is what the API sorts by. {found}".strip(),
            )


def _sorted_keys(records: Sequence[JSON], *, descending: bool) -> list[str]:
    """Return the keys of instants by which the records are in order."""
    found = []
    for place, value in leaves(records[0]):
        if kind_of(value) is None:
            continue
        instants = [_instant(record, place) for record in records]
        column = [at for at in instants if at is not None]
        if len(column) == len(records) and len(set(column)) > 1 and column == sorted(column, reverse=descending):
            found.append(dotted(place))
    return found


def _instant(record: JSON, place: Place) -> datetime | None:
    value = dict(leaves(record)).get(place)
    kind = kind_of(value)
    return KINDS[kind](value) if kind is not None else None
