"""Kill `etl forget` at any moment: the same command, run again, ends as if nothing had happened, and nobody is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.killing import EVERY_WRITE, EVERYTHING, OBSERVED, Killing, survive
from tests.acceptance.process import Hook, Program, execute, rows
from tests.acceptance.stage import quiet_history

SEED = 20261127
MOMENTS = 4
PHONE = "+14155550100"
NAMED = f"SELECT count(*) FROM call_versions v WHERE v::text LIKE '%{PHONE[1:]}%'"
UNFINISHED = "SELECT count(*) > 0 FROM sync.connections WHERE erasures > erasures_done"


@pytest.fixture
def killing(server_url: str, database_url: str, tmp_path: Path) -> Iterator[Killing]:
    """Give a program whose warehouse holds somebody in two connections, in calls and in versions of them."""
    history, hook = quiet_history(), Hook()
    for provider, key in (("krosai", "from_number"), ("bimpe", "source")):
        for call in history.add(provider, at=history.now - timedelta(hours=30), number=12)[::2]:
            history.change(provider, call, {key: PHONE})
    template = make_url(database_url)
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        program.environment |= {"ETL_WAREHOUSE__ERASURE_KEY": "0123456789abcdef0123456789abcdef"}
        killing = Killing(
            program,
            hook,
            server_url=server_url,
            template=str(template.database),
            command=("forget", "--phone", PHONE, "--yes"),
            tables=(*EVERYTHING, "sync.erasures", "sync.erased_calls"),
            without=(*OBSERVED, "erased_at"),
        )
        assert program.run("sync").code == 0
        yield killing


def test_a_killed_forget_is_finished_by_running_it_again(killing: Killing, database_url: str) -> None:
    """Whatever was cut before it was killed; what is still to be gone through is known meanwhile."""
    assert rows(database_url, NAMED) != [(0,)]
    execute(database_url, EVERY_WRITE)
    copy = make_url(database_url).set(database=f"killed_{make_url(database_url).database}")
    killing.program.url = copy.render_as_string(hide_password=False)

    def between() -> Callable[[], None]:
        left, unfinished = rows(killing.program.url, NAMED), rows(killing.program.url, UNFINISHED)
        assert left == [(0,)] or unfinished == [(True,)]

        def after() -> None:
            assert rows(killing.program.url, NAMED) == [(0,)]
            assert rows(killing.program.url, UNFINISHED) == [(False,)]

        return after

    survive(killing, seed=SEED, number=MOMENTS, between=between)
