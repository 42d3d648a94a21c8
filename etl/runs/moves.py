"""
Decides what it means that a list shows a call which is held in another stream: it has moved, or two lists show one id at once.

Which of them is known when both lists were read. Until then the record waits, and the row stays where it is.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from etl.coverage import Spans
from etl.runs.context import Task
from etl.runs.listed import Sighting
from etl.runs.loading import load_page
from etl.runs.port import PageTransaction
from etl.runs.terms import Counters, Elsewhere, Observed


def is_listed_there(task: Task, found: Elsewhere) -> bool:
    """Whether a list of this run has shown a call in the stream that holds it."""
    return task.listed.shows(found.stream, found.record.call_id or "", found.cursor)


def settle_moves(task: Task) -> None:
    """Write the records that waited: the row of a call moves to the list that shows it, or the record is a reject there."""
    by_page: dict[tuple[str, datetime], list[Sighting]] = defaultdict(list)
    for sighting in task.moves.waiting.values():
        by_page[sighting.stream, sighting.observed_at].append(sighting)
    task.moves.waiting.clear()
    for (stream, observed_at), sightings in by_page.items():
        records = [sighting.record for sighting in sightings]
        observed = Observed(stream=stream, records=records, observed_at=observed_at, due_at=task.details_due_at())

        def load(page: PageTransaction, counters: Counters, observed: Observed = observed) -> None:
            loaded = load_page(
                page,
                task.account,
                observed,
                run_id=task.run_id,
                covered=Spans(),
                listed_there=lambda found: is_listed_there(task, found),
            )
            counters.add(loaded)

        task.write(load)
