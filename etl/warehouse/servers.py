"""
At which server each session ended, so that a run notices that it goes on at another one than it began at.

Behind an address may stand several servers, and a standby takes over without the last transactions of the one that is lost, where
it follows asynchronously. A run knows what it has read beyond what is stored: it would claim pages that are gone.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import psycopg
from psycopg import Connection as Session

from etl.warehouse.failures import ServerChanged

# A promoted standby begins a new timeline, and a server that is another one altogether has another number. No table is read.
_WHICH = b"""
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()
"""


class Servers:
    """Which server each session of a pool is at, and which one each run began at; safe to share between threads."""

    def __init__(self, address: str) -> None:
        """Messages name the `address`."""
        self._address = address
        self._of_sessions: WeakKeyDictionary[Session, str] = WeakKeyDictionary()
        self._of_runs: dict[int, str] = {}

    def meet(self, session: Session) -> None:
        """Ask a new session, in autocommit, where it ended; of a standby, and where a server does not tell, nothing is known."""
        try:
            row = session.execute(_WHICH).fetchone()
        except psycopg.Error:
            if session.closed:
                raise
            return
        if row is not None:
            self._of_sessions[session] = str(row[0])

    def begin(self, run_id: int, session: Session) -> None:
        """Remember that a run was opened in this session."""
        if (server := self._of_sessions.get(session)) is not None:
            self._of_runs[run_id] = server

    def end(self, run_id: int) -> None:
        """Forget a run."""
        self._of_runs.pop(run_id, None)

    def changed(self, run_id: int, session: Session) -> ServerChanged | None:
        """Return what to say where a session is at another server than the run began at."""
        began, now = self._of_runs.get(run_id), self._of_sessions.get(session)
        if began is None or now is None or began == now:
            return None
        return ServerChanged(
            f"Another database server has taken over at {self._address} while this run was at work.",
            safe="Nothing is lost: rows and what counts as read are of one transaction, whatever the new server has got of them.",
            hint="Nothing needs mending: the next run reads what is missing. If somebody was forgotten just before, run "
            "etl forget again.",
        )
