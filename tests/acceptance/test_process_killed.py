"""Kill the process at any moment: the next sync ends as if nothing had happened, and hardly reads anything twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Entry, History, Sandbox
from tests.acceptance.cast import CAST, NAMES, PROVIDERS, per_day
from tests.acceptance.killing import TRIGGER, Killing, Moment
from tests.acceptance.process import Hook, Program, execute, rows
from tests.acceptance.stage import START

MOMENTS = 12
SEED = 20261121
PER_PAGE, A_DAY = 6, 15
AGAIN = {provider: 5 if part.ascending else 4 + 2 * part.tokens * A_DAY // PER_PAGE for provider, part in CAST.items()}
"""
How many requests for pages a kill costs a stream at most: the page that was being loaded and the one that was fetched ahead.

Where a provider lists newest first there are two more: the newest page, which every run reads, and the page that shows that
the run continues above what it has not read. Of what was committed no more than these two are read again. At Tuple, what proves
that a long window was answered whole is asked again: three requests at most. Where a filter is by whole days, two days more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """What a run is when nobody kills it."""

    held: dict[str, list[Any]]
    asked: Counter[tuple[str, str]]
    requests: int
    pages: int


def undisturbed(killing: Killing) -> Undisturbed:
    """Run once to the end; the warehouse then holds what lives at the providers."""
    with killing.fresh():
        ended = killing.program.run("sync")
        assert (ended.code, ended.lines) == (0, [])
        held = killing.held()
        sandbox = killing.program.sandbox
        for provider in PROVIDERS:
            agents = [agent["id"] for agent in sandbox.history.agents()] if provider == "bimpe" else [None]
            truth = [record for agent in agents for record in sandbox.truth(provider, agent)]
            found = [row["raw"] for row in held["public.calls"] if row["provider"] == provider]
            by_id = itemgetter(CAST[provider].id)
            assert sorted(found, key=by_id) == sorted(truth, key=by_id)
        pages = rows(killing.program.url, "SELECT last_value FROM public.stage_pages")[0][0]
        return Undisturbed(held=held, asked=killing.asked(), requests=len(sandbox.requests()), pages=pages)


def moments(seed: int, reference: Undisturbed) -> list[Moment]:
    """Draw the moments; half of them are in requests, the others around commits."""
    chance = random.Random(seed)
    ends = {"request": reference.requests, "page": reference.pages, "inside": reference.pages}
    kinds = [chance.choice(("request", "request", "page", "inside")) for _ in range(MOMENTS)]
    return [Moment(kind=kind, number=chance.randint(1, ends[kind])) for kind in kinds]


def survive_all(killing: Killing, *, seed: int) -> None:
    """Kill at every moment, sync again, and compare with a run that nobody killed."""
    reference = undisturbed(killing)
    for moment in moments(seed, reference):
        print(f"seed {seed}, {moment}")  # noqa: T201 - what repeats a failure
        with killing.fresh():
            before = rows(killing.program.url, "SELECT id FROM sync.runs")
            killing.kill_at(moment)
            ended = killing.program.run("sync")
            assert (ended.code, ended.lines) == (0, [])
            assert killing.held() == reference.held
            again = {stream: asked - reference.asked[stream] for stream, asked in killing.asked().items()}
            assert {stream: count for stream, count in again.items() if count > AGAIN[stream[0]]} == {}
            runs = rows(killing.program.url, "SELECT connection, status FROM sync.runs ORDER BY id")[len(before) :]
            assert sorted(runs[-len(PROVIDERS) :]) == sorted((NAMES[provider], "succeeded") for provider in PROVIDERS)
            assert {status for _, status in runs[: -len(PROVIDERS)]} <= {"crashed", "succeeded"}


@pytest.fixture
def history() -> History:
    """Give two days of calls at every provider, none of them lasting for days."""
    rates = per_day(A_DAY, tuple=23, bimpe=22, salpre=13)
    calm = {"late": 0, "long": 0, "vanishing": 0, "amended": 0, "agent_changes": (0, 0, 0)}
    return History(5, start=START, past=timedelta(days=2), calls_per_day=rates, **calm)


@pytest.fixture
def killing(server_url: str, database_url: str, tmp_path: Path, hook: Hook, history: History) -> Iterator[Killing]:
    """Give a program, its fork server and a template database that has the trigger."""
    execute(database_url, TRIGGER)
    template = make_url(database_url)
    url = template.set(database=f"killed_{template.database}").render_as_string(hide_password=False)

    def note(entry: Entry) -> None:
        hook(entry)

    with Sandbox(history, limits=NO_LIMITS, on_request=note) as sandbox:
        # Within so short a lookback lies less than a page: what is read anyway is told from what is read again.
        settings = {provider: {"per_page": PER_PAGE, "lookback": "30m", "details": False} for provider in PROVIDERS}
        program = Program(sandbox=sandbox, url=url, folder=tmp_path, providers=PROVIDERS, settings=settings)
        yield Killing(program, hook, server_url=server_url, template=str(template.database))


def test_a_killed_backfill_ends_as_if_nothing_had_happened(killing: Killing) -> None:
    """`kill -9` at many moments of a first sync of all providers: the next one ends with the same rows and the same claims."""
    survive_all(killing, seed=SEED)


def test_a_killed_incremental_run_ends_as_if_nothing_had_happened(killing: Killing, database_url: str) -> None:
    """The same at many moments of a run that continues where an earlier one ended, a day later."""
    program = killing.program
    program.url, copy = database_url, program.url
    assert killing.program.run("sync").code == 0
    execute(database_url, "ALTER SEQUENCE public.stage_pages RESTART")
    program.url = copy
    program.sandbox.history.advance(timedelta(days=1))

    survive_all(killing, seed=SEED + 1)
