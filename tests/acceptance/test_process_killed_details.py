"""Kill a sync that asks for details at any moment: the next one ends as if nothing had happened, no version is doubled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import CAST, NAMES, PROVIDERS, WITH_DETAIL
from tests.acceptance.killing import EVERY_WRITE, EVERYTHING, OBSERVED, Killing, survive
from tests.acceptance.process import Hook, Program, execute
from tests.acceptance.stage import quiet_history

SEED = 20261122
MOMENTS = 6


@pytest.fixture
def killing(server_url: str, database_url: str, tmp_path: Path) -> Iterator[Killing]:
    """Give a program before calls of the last day, some of them open; what is true stays so while the clock goes on."""
    history, hook = quiet_history(), Hook()
    for hours in range(6, 24):
        for provider in WITH_DETAIL:
            history.add(provider, at=history.now - timedelta(hours=hours), number=4)
    for provider in WITH_DETAIL:
        for call in history.living(provider)[3::7]:
            history.change(provider, call.id, {"status": "ringing"})
    template = make_url(database_url)
    url = template.set(database=f"killed_{template.database}").render_as_string(hide_password=False)
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        settings = {provider: {"per_page": 20, "lookback": "30d"} for provider in PROVIDERS}
        program = Program(sandbox=sandbox, url=url, folder=tmp_path, providers=WITH_DETAIL, settings=settings)
        yield Killing(
            program,
            hook,
            server_url=server_url,
            template=str(template.database),
            tables=tuple(table for table in EVERYTHING if table != "sync.state"),  # the clock goes on
            without=OBSERVED,
        )


def later(killing: Killing) -> None:
    """Let time pass, so that what was due is due by whatever clock."""
    killing.program.sandbox.history.advance(timedelta(minutes=10))


def test_a_killed_backfill_with_details_ends_as_if_nothing_had_happened(killing: Killing, database_url: str) -> None:
    """Whatever was committed of list and details stays; the rest is asked for by the next sync."""
    execute(database_url, EVERY_WRITE)

    survive(killing, seed=SEED, number=MOMENTS, between=lambda: later(killing))


def test_a_killed_sync_of_changes_ends_as_if_nothing_had_happened(killing: Killing, database_url: str) -> None:
    """Calls that ended, changed, are new or were deleted: each becomes one version, one call, one deletion."""
    program = killing.program
    program.url, copy = database_url, program.url
    assert killing.program.run("sync").code == 0
    history = program.sandbox.history
    for provider in WITH_DETAIL:
        living = history.living(provider)
        for call in living[3::14]:
            history.change(provider, call.id, {"status": "completed"})
        for call in living[4::14]:
            history.change(provider, call.id, {CAST[provider].duration: 4711, "transcript": "corrected"})
        for call in living[5:20:7]:
            history.delete(provider, call.id)
        history.add(provider, at=history.now - timedelta(hours=9), number=7)
    later(killing)
    execute(database_url, EVERY_WRITE)
    program.url = copy

    reference = survive(killing, seed=SEED + 1, number=MOMENTS, between=lambda: later(killing))

    gone = [row for row in reference["public.call_history"] if row["deleted"]]
    assert sorted(row["connection"] for row in gone) == sorted(NAMES[provider] for provider in WITH_DETAIL for _ in range(3))
