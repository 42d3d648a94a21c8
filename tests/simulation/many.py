"""Plays the stories of a range of seeds in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg

from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.postgres import create, drop, running
from tests.simulation.broken import Broken
from tests.simulation.on_postgres import emptied
from tests.simulation.play import Play
from tests.simulation.story import draw

RANGE = 50
"""How many seeds are played and written down together, on the warehouse in memory."""

RANGE_ON_POSTGRES = 5
"""The same on the real one, where a story takes many times as long."""


class Place(NamedTuple):
    """A server, and the empty warehouse on it that each process copies for itself."""

    server: str
    template: str


@contextmanager
def a_place() -> Iterator[Place]:
    """Give a place for simulations: on the server at the address in `ETL_TEST_SERVER`, else on one of their own."""
    given = os.environ.get("ETL_TEST_SERVER")
    if given:
        with _on(given) as place:
            yield place
        return
    with running() as server, _on(server.url) as place:
        yield place


@contextmanager
def _on(server: str) -> Iterator[Place]:
    name = f"simulation_{os.getpid()}"
    with Database(create(server, name)) as database:
        schema.migrate(database)
    try:
        yield Place(server, name)
    finally:
        with psycopg.connect(server, autocommit=True) as session:
            names = session.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (name,)).fetchall()
        for (one,) in names:
            drop(server, one)


@lru_cache(maxsize=1)
def warehouse_in(place: Place) -> Database:
    """Return this process's own warehouse in a place."""
    return Database(create(place.server, f"{place.template}_{os.getpid()}", template=place.template), sessions=8)


def play_seed(seed: int, place: Place | None, provider: str = "") -> Play:
    """Return the play of a seed, not begun, in memory or on Postgres."""
    if place is None:
        return Play(draw(seed, provider))
    database = warehouse_in(place)
    emptied(database)
    return Play(draw(seed, provider, users=True), database=database)


def play_range(first: int, *, number: int = RANGE, place: Place | None = None, provider: str = "") -> dict[str, Any]:
    """Play the stories of so many seeds; return what the results file keeps of them."""
    began, failed = time.process_time(), []
    done = {"processes": 0, "effects": 0, "requests": 0}
    for seed in range(first, first + number):
        play = play_seed(seed, place, provider)
        try:
            play.play()
        except Broken as broken:
            failed.append({"seed": seed, "broken": broken.args[0]})
        except Exception as error:  # noqa: BLE001 - a story that cannot be played to its end is one that breaks something
            failed.append({"seed": seed, "broken": f"it cannot be played to its end: {type(error).__name__}"})
        done["processes"] += play.processes
        done["effects"] += play.effects
        done["requests"] += play.requests
    seconds = round(time.process_time() - began, 3)
    on = "memory" if place is None else "postgres"
    return {"first": first, "on": on, "seeds": number, "failed": failed, "seconds": seconds, **done}
