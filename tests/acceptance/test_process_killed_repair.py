"""Kill a repair at any moment: what it mended stays mended, the next one mends the rest, and an audit finds nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import CAST, NAMES, PROVIDERS
from tests.acceptance.killing import EVERY_WRITE, EVERYTHING, OBSERVED, Killing, survive
from tests.acceptance.process import Hook, Program, execute, rows
from tests.acceptance.stage import quiet_history

SEED = 20261124
MOMENTS = 6
COLUMNS = (
    *("connection", "provider", "occurred_at", "status", "is_test", "raw", "first_seen_at", "last_changed_at", "stream"),
    *("cursor_at", "observed_at", "content_hash", "last_run_id"),
)

UNCOUNTED = ", ".join(f"'{part.name}'" for part in CAST.values() if not part.totals)

# Of each connection: rows that are gone (Salpre's nobody counts), rows that were altered, children that are gone or belong to
# nobody, records that are unusable, and a row that is another call's.
DAMAGE = f"""
CREATE TABLE public.stage_ranks AS
    SELECT connection, call_id, row_number() OVER (PARTITION BY connection ORDER BY cursor_at, call_id) AS place FROM calls;
CREATE TABLE public.stage_hurt AS SELECT connection, call_id, place FROM public.stage_ranks
    WHERE place IN (5, 8, 12) AND connection NOT IN ({UNCOUNTED}) OR place IN (10, 20, 40, 41, 42, 43, 44);
UPDATE calls c SET duration_seconds = 4711, status = 'failed' FROM public.stage_hurt h
    WHERE h.place IN (10, 20) AND c.connection = h.connection AND c.call_id = h.call_id;
DELETE FROM call_participants c USING public.stage_hurt h
    WHERE h.place < 45 AND c.connection = h.connection AND c.call_id = h.call_id;
UPDATE call_messages c SET text = 'never said' FROM public.stage_hurt h
    WHERE h.place = 40 AND c.connection = h.connection AND c.call_id = h.call_id;
INSERT INTO call_participants (connection, call_id, participant_id) VALUES ('pairing', 'nobody', '1');
UPDATE calls c SET raw = '[]' FROM public.stage_hurt h
    WHERE h.place IN (41, 42) AND c.connection = h.connection AND c.call_id = h.call_id;
UPDATE calls c SET detail = '[]' FROM public.stage_hurt h
    WHERE h.place IN (43, 44) AND c.connection = h.connection AND c.call_id = h.call_id AND c.detail IS NOT NULL;
INSERT INTO calls (call_id, {", ".join(COLUMNS)}) SELECT 'copy-1', {", ".join(f"c.{name}" for name in COLUMNS)}
    FROM calls c JOIN public.stage_ranks r USING (connection, call_id) WHERE r.place = 50;
DELETE FROM calls c USING public.stage_hurt h
    WHERE h.place IN (5, 8, 12) AND c.connection = h.connection AND c.call_id = h.call_id;
DELETE FROM call_participants c USING public.stage_hurt h
    WHERE h.place IN (5, 8, 12) AND c.connection = h.connection AND c.call_id = h.call_id;
DELETE FROM call_messages c USING public.stage_hurt h
    WHERE h.place IN (5, 8, 12) AND c.connection = h.connection AND c.call_id = h.call_id
"""
WRITTEN = """
SELECT connection, call_id, ctid::text, xmin::text FROM calls
WHERE (connection, call_id) NOT IN (SELECT connection, call_id FROM public.stage_hurt) AND call_id <> 'copy-1'
ORDER BY connection, call_id
"""


@pytest.fixture
def killing(server_url: str, database_url: str, tmp_path: Path) -> Iterator[Killing]:
    """Give a program whose warehouse holds sixty calls of each provider, all over and older than the lookback."""
    history, hook = quiet_history(), Hook()
    for hours in range(30):
        for provider in PROVIDERS:
            history.add(provider, at=history.now - timedelta(hours=30 + hours), number=2)
    template = make_url(database_url)
    with Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox:
        # Our clock is nine months ahead of the sandbox's: by it what Aircall keeps for six months would have aged out.
        settings = {provider: {"per_page": 20, "retention": "4000d"} for provider in PROVIDERS}
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=PROVIDERS, settings=settings)
        assert program.run("sync").code == 0
        yield Killing(
            program,
            hook,
            server_url=server_url,
            template=str(template.database),
            command=("audit", "--repair"),
            tables=tuple(table for table in EVERYTHING if table != "sync.state"),  # the clock goes on
            without=OBSERVED,
        )


def test_a_killed_repair_ends_as_if_nothing_had_happened(killing: Killing, database_url: str) -> None:
    """All that was damaged is mended in the end, and no row is written that was right."""
    program = killing.program
    execute(database_url, DAMAGE)
    # Far from what is missing: an absence and a surplus in one range would leave its total as it was.
    for provider in (name for name in PROVIDERS if CAST[name].totals):
        gone = program.sandbox.history.living(provider)[51].id
        program.sandbox.history.delete(provider, gone)
        execute(database_url, f"INSERT INTO public.stage_hurt VALUES ('{NAMES[provider]}', '{gone}', 52)")
    execute(database_url, EVERY_WRITE)
    written = rows(database_url, WRITTEN)
    copy = make_url(database_url).set(database=f"killed_{make_url(database_url).database}")
    program.url = copy.render_as_string(hide_password=False)

    def between() -> Callable[[], None]:
        program.sandbox.history.advance(timedelta(minutes=10))  # what was due is due by whatever clock

        def after() -> None:
            ended = killing.program.run("audit", "--json")
            found = [(one["connection"], one["verdict"], one["disagreements"]) for one in ended.json["connections"]]
            verdicts = {name: "complete" if CAST[name].totals else "unverifiable" for name in PROVIDERS}
            assert found == [(NAMES[provider], verdict, 0) for provider, verdict in verdicts.items()]
            assert rows(program.url, WRITTEN) == written

        return after

    held = survive(killing, seed=SEED, number=MOMENTS, between=between)

    found = {(row["connection"], row["call_id"]) for row in held["public.calls"]}
    assert found == {(NAMES[provider], call.id) for provider in PROVIDERS for call in program.sandbox.history.living(provider)}
