"""The sessions of the workers' queue, as its library opens them: what each sets, and when it is asked whether it lives."""

from __future__ import annotations

from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

_FRESH = 1.0  # seconds; a session that was in use so recently is taken to be alive
_PINNED = (
    "SET search_path TO jobs; SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO, MDY'; SET statement_timeout TO '60s'; "
    "SET lock_timeout TO '30s'; SET idle_in_transaction_session_timeout TO '60s'; "
    "SET default_transaction_isolation TO 'read committed'; SET application_name TO 'etl worker: queue'"
)
"""What the queue's sessions rely on, whatever the database or the role sets. All of its statements are short."""


async def set_up(session: AsyncConnection) -> None:
    """Set up a session. Each of the library's statements is a transaction by itself, and needs none around it."""
    await session.set_autocommit(True)
    await session.execute(_PINNED)


def pool(**given: Any) -> AsyncConnectionPool:
    """Return the library's pool, which asks a session whether it lives only if it was not in use just now: a job takes three."""
    used: WeakKeyDictionary[AsyncConnection, float] = WeakKeyDictionary()

    async def check(session: AsyncConnection) -> None:
        now = monotonic()
        if now - used.get(session, 0.0) > _FRESH:
            await AsyncConnectionPool.check_connection(session)
        used[session] = now

    return AsyncConnectionPool(**{**given, "check": check})
