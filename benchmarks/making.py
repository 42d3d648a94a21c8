"""
Measures what a page of a list costs in our own process, by processor time, without a database and without HTTP.

The steps are those that a page takes: slicing the body, examining its records, making rows ready, encoding them for COPY. What is
measured is the `etl` of the Python that runs this file, so versions can be compared: `OLD/.venv/bin/python benchmarks/making.py`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from benchmarks.records import RECORDS
from etl import providers
from etl.http.body import Body, read_list
from etl.model import Context, Record
from etl.provider import CALLS
from etl.records.draft import draft
from etl.records.identify import identify_all
from etl.warehouse.loading.binary_copy import encoded

PER_PAGE = {"tuple": 1_000, "bimpe": 100, "salpre": 100, "krosai": 100}
PAGES = 5
ROUNDS = 200
STEPS = ("slicing", "examining", "making", "encoding")
SEEN = datetime(2026, 11, 27, 12, tzinfo=UTC)
FIRST_MS = 1_770_000_000_000

Given = TypeVar("Given")
Made = TypeVar("Made")


def measure(name: str) -> dict[str, float]:
    """
    Return the microseconds a call that each step takes.

    Of each page it is the least of many rounds, which a busy machine hardly moves.
    """
    provider, size = providers.get(name), PER_PAGE[name]
    keys = provider.listing.records
    context = Context(connection="line", stream=CALLS, currency="USD", run_id=1)
    least = {step: [sys.maxsize] * PAGES for step in STEPS}

    def timed(step: str, work: Callable[[Given], Made], pages: Sequence[Given]) -> list[Made]:
        done = []
        for place, page in enumerate(pages):
            began = time.process_time_ns()
            done.append(work(page))
            least[step][place] = min(least[step][place], time.process_time_ns() - began)
        return done

    def examined(body: Body) -> Sequence[Record]:
        return identify_all(provider, body.records)

    bodies = [_body(name, keys, range(size * number, size * (number + 1))) for number in range(PAGES)]
    made = partial(draft, provider, context, observed_at=SEEN, due_at=None)
    for _ in range(ROUNDS):
        sliced = timed("slicing", partial(read_list, keys=keys), bodies)
        drafts = timed("making", made, timed("examining", examined, sliced))
        timed("encoding", encoded, drafts)
    return {step: sum(pages) / (size * PAGES) / 1_000 for step, pages in least.items()}


def _body(name: str, keys: tuple[str, ...], page: range) -> bytes:
    listed = "[" + ",".join(RECORDS[name](number, FIRST_MS + number * 60_000) for number in page) + "]"
    return (f'{{"{keys[0]}":{listed}}}' if keys else listed).encode()


if __name__ == "__main__":
    gc.disable()  # what cycles cost is no step's own
    for chosen in sys.argv[1:] or PER_PAGE:
        found = measure(chosen)
        figures = ", ".join(f"{step} {micros:.2f}" for step, micros in found.items())
        sys.stdout.write(f"{chosen}: {figures}, all {sum(found.values()):.2f} µs a call\n")
