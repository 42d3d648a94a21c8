"""Parts of calls, over real HTTP into the real warehouse: a detail is stored with all of them, or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

from etl.runs.account import Account
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, RunStatus, Trigger, Want
from etl.runs.watching import Silence
from etl.system import system_effects
from etl.testing.payloads import Payloads
from etl.testing.stage import Stage
from etl.testing.world import LINE, NOW, World
from etl.warehouse.database import Database
from etl.warehouse.postgres import PostgresWarehouse
from etl.wiring import Opened, surroundings
from tests.providers.transcribed import SPOKEN, TRANSCRIBED, TRANSCRIPTION, payloads


def sync(world: World, database: Database) -> Outcome:
    """Sync the kit's world into the warehouse, by the world's clock."""
    account = Account(
        connection=LINE, provider=TRANSCRIBED, lookback=TRANSCRIBED.lookback, retention=TRANSCRIBED.retention, own=world.own
    )
    opened, effects = Opened(database=database, conninfo=""), replace(system_effects(), clock=world.clock)
    with surroundings(
        PostgresWarehouse, opened, effects=effects, watcher=Silence(), stop=threading.Event(), trigger=Trigger.CLI
    ) as given:
        return sync_connection(account, want=Want(), connect=world, given=given)


def test_a_detail_waits_for_its_part(database: Database) -> None:
    """It fails with it, holds null while there is none, and is asked for again until it is there; then no more."""
    kit = Stage.of(TRANSCRIBED, TRANSCRIBED.listing.styles[0], Payloads.of(payloads()))
    assert isinstance(kit, Stage)
    seen: list[tuple[Any, ...]] = []
    with kit.world([NOW - timedelta(hours=2, minutes=number) for number in range(2)]) as world:
        made = world.server.calls[1]  # the one that was answered
        for said in ("no object", None, TRANSCRIPTION, TRANSCRIPTION):
            world.server.calls[1] = replace(made, detail={**made.detail, "transcription": said})
            before = world.server.asked.parts
            outcome = sync(world, database)
            world.clock.instant += timedelta(days=1 if said is TRANSCRIPTION else 0, minutes=15)
            with database.begin() as session:
                query = "SELECT detail->'transcription', detail_failures, transcript FROM calls WHERE call_id = %(id)s"
                (row,) = session.exec_driver_sql(query, {"id": made.call_id})
            seen.append((outcome.status, *row, world.server.asked.parts - before))
        strays = world.server.asked.strays

    assert [one[1:4] for one in seen] == [
        (None, 1, None),
        (None, 0, None),
        (TRANSCRIPTION, 0, SPOKEN),
        (TRANSCRIPTION, 0, SPOKEN),
    ]
    assert [one[0] for one in seen] == [RunStatus.SUCCEEDED] * 4 and strays == []
    assert [one[4] for one in seen] == [8, 1, 1, 0]  # the client tries eight times
