"""Who holds the lock that a session of ours waits for: nothing waits unseen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection as Session

from etl.warehouse.failures import RETRY, Locked

_BLOCKERS = b"""
WITH RECURSIVE behind AS (
    SELECT unnest(pg_blocking_pids(pid)) AS pid FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event_type = 'Lock'
    UNION
    SELECT unnest(pg_blocking_pids(pid)) FROM behind
)
SELECT behind.pid, usename, application_name, state, coalesce(xact_start, state_change)
FROM behind LEFT JOIN pg_stat_activity USING (pid)
WHERE pg_blocking_pids(behind.pid) = '{}'
ORDER BY 5 NULLS LAST, 1
LIMIT 3
"""
"""Who waits in the queue before us waits for somebody too: named are those who wait for nobody."""


class Blocker(NamedTuple):
    """
    A session that holds what others wait for; `pid` is 0 for a prepared transaction.

    `state` and `since`, the beginning of its transaction, are None where this role may not see them.
    """

    pid: int
    user: str | None
    application: str | None
    state: str | None
    since: datetime | None

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction (pg_prepared_xacts lists them)"
        who = f"process {self.pid} of the user {self.user}" if self.user else f"process {self.pid}"
        application = f" ({self.application})" if self.application else ""
        state = f", {self.state}" if self.state else ", whose state this user may not see"
        since = f", in its transaction since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return who + application + state + since

    @property
    def ending(self) -> str:
        """The statement that ends it."""
        return f"SELECT pg_terminate_backend({self.pid});" if self.pid else "ROLLBACK PREPARED '<its gid>';"


def blockers_of(pids: Collection[int], *, asking: Session) -> tuple[Blocker, ...]:
    """Return who holds what the sessions with these process numbers wait for, the oldest transaction first; three at most."""
    if not pids:
        return ()
    return tuple(Blocker(*row) for row in asking.execute(_BLOCKERS, (list(pids),)).fetchall())


def name_blockers(locked: Locked, blockers: Sequence[Blocker], address: str) -> Locked:
    """Return the error with the names of those who were seen to hold what was waited for."""
    if blockers:
        locked.happened = f"The database at {address} is held up by {'; and by '.join(map(str, blockers))}."
        ends = " ".join(one.ending for one in blockers)
        locked.hint = f"Wait until it is done, or end it as an administrator: {ends} {RETRY}"
    return locked
