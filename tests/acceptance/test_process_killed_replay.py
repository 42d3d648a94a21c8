"""Kill a replay at any moment: what it wrote is right, and the next one writes just the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import PROVIDERS
from tests.acceptance.killing import EVERY_WRITE, EVERYTHING, Killing, differing, survive
from tests.acceptance.process import Hook, Program, execute, rows
from tests.acceptance.stage import quiet_history

SEED = 20261123
MOMENTS = 6
CALLS = dict.fromkeys(PROVIDERS, 40) | {"tuple": 1100, "krosai": 1100}
"""A replay writes a thousand calls in one transaction."""

# As an older version would have left it, that knew neither durations nor e-mail addresses nor messages of every third call,
# and could not read one record that this version can read.
OLDER = """
CREATE TABLE public.stage_old AS
    SELECT connection, call_id FROM calls WHERE duration_seconds IS NOT NULL AND hashtext(call_id) % 3 = 0;
UPDATE calls c SET duration_seconds = NULL, status = 'unknown' FROM public.stage_old o
    WHERE c.connection = o.connection AND c.call_id = o.call_id;
UPDATE call_participants c SET email = NULL FROM public.stage_old o WHERE c.connection = o.connection AND c.call_id = o.call_id;
DELETE FROM call_messages c USING public.stage_old o WHERE c.connection = o.connection AND c.call_id = o.call_id;
INSERT INTO sync.rejected_records (connection, stream, record_key, call_id, reason, raw_text, first_seen_at, last_seen_at)
    SELECT DISTINCT ON (connection) connection, stream, 'one', call_id, 'bad_cursor', raw::text, first_seen_at, observed_at
    FROM calls ORDER BY connection, call_id;
INSERT INTO sync.schema_drift (connection, path, kind, sample, first_seen_at, last_seen_at)
    SELECT connection, 'status', 'new_status', 'parked', now(), now() FROM sync.connections
"""
OLD = "SELECT connection, count(*) FROM calls WHERE status = 'unknown' GROUP BY 1 ORDER BY 1"
WRITTEN = """
SELECT connection, call_id, ctid::text, xmin::text FROM calls
WHERE (connection, call_id) NOT IN (SELECT connection, call_id FROM public.stage_old) ORDER BY 1, 2
"""
REWRITTEN = """
SELECT * FROM (SELECT DISTINCT ON (connection) connection, updated FROM sync.runs ORDER BY connection, id DESC) newest
WHERE updated > 0 ORDER BY 1
"""


@pytest.fixture
def killing(server_url: str, database_url: str, tmp_path: Path) -> Iterator[Killing]:
    """Give a program whose warehouse holds calls of all providers, with what a detail tells where a hundred are few."""
    history, hook = quiet_history(), Hook()
    for provider, number in CALLS.items():
        history.add(provider, at=history.now - timedelta(hours=30), number=number)
    template = make_url(database_url)
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        settings = {provider: {"details": CALLS[provider] < 100} for provider in PROVIDERS}
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=PROVIDERS, settings=settings)
        killing = Killing(
            program,
            hook,
            server_url=server_url,
            template=str(template.database),
            command=("replay",),
            tables=(*EVERYTHING, "sync.schema_drift"),
            without=("last_run_id", "changed_at"),
        )
        assert program.run("sync").code == 0
        yield killing


def test_a_killed_replay_ends_as_if_nothing_had_happened(killing: Killing, database_url: str) -> None:
    """Calls, children, rejects and departures are as a sync made them; no row is written that was right, none twice."""
    program = killing.program
    synced = killing.held()
    execute(database_url, OLDER)
    written = rows(database_url, WRITTEN)
    assert len(written) > 1000
    execute(database_url, EVERY_WRITE)
    copy = make_url(database_url).set(database=f"killed_{make_url(database_url).database}")
    program.url = copy.render_as_string(hide_password=False)

    def between() -> Callable[[], None]:
        left = rows(program.url, OLD)

        def after() -> None:
            assert rows(program.url, REWRITTEN) == left
            assert rows(program.url, WRITTEN) == written

        return after

    held = survive(killing, seed=SEED, number=MOMENTS, between=between)

    resolved = held.pop("sync.rejected_records")
    assert [row["resolved_at"] for row in resolved] == [True] * len(PROVIDERS)
    assert synced.pop("sync.rejected_records") == []
    assert differing(held, synced) == []
    assert program.sandbox.requests() == []
