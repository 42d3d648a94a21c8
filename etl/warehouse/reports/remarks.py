"""What is worth a sentence about a connection beside its numbers: for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from etl.printable import duration, number_of
from etl.reading.clocks import Apart
from etl.runs.failing import cannot_be_had
from etl.warehouse.reports.status import Row


class Remark(NamedTuple):
    """A sentence; `warns` where somebody should do something before calls are missed."""

    text: str
    warns: bool = False


def remarks(row: Row) -> Iterator[Remark]:
    """
    Yield what is to be said of a connection but its gaps and its last error.

    `row` is one of `status.connections`, with what `etl.wiring.expected` adds to it.
    """
    name = row["connection"]
    if row["not_begun"]:
        yield Remark(f"{row['not_begun']}.")
    if row["no_call_yet"]:
        yield Remark("the provider lists no call yet; once it lists one, this table says how far all was read.")
    if row["details_failing"]:
        yield Remark(cannot_be_had(row["details_failing"]))
    if row["rejects"] or row["drift"]:
        rejects = number_of(row["rejects"], "rejected record")
        drift = f"{number_of(row['drift'], 'departure')} from what the provider documents"
        both = ", ".join(words for words, count in ((rejects, row["rejects"]), (drift, row["drift"])) if count)
        yield Remark(f"{both}, see: etl rejects {name}")
    if row["max_lateness"] is not None:
        yield Remark(f"in the last 30 days a call appeared up to {duration(row['max_lateness'])} late.")
    if row["near_lookback"]:
        yield Remark(
            f"that is close to the lookback of {duration(row['lookback'])}; what comes later still is "
            f"missed until an audit finds it. Raise connections.{name}.lookback.",
            warns=True,
        )
    if (apart := Apart.remembered(row["clocks"])) is not None:
        yield Remark(f"{apart}. One of the two is wrong: set this machine's clock, or tell the provider.", warns=True)
