"""
Knows what a query costs the server: the processor time of the one process that answers it, to the microsecond.

The kernel counts it for each process (`schedstat`), so what else the machine does is not in it. No second process takes part.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import psycopg

TIMES = 5
PATIENCE_SECONDS = 120
SLOW_MS = 2000.0
"""A query that takes longer is asked once: it reads calls themselves, and what differs from time to time no longer matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Milliseconds of processor time, planning included: the least and the median of several times; how many rows came."""

    least: float
    middle: float
    rows: int


class Asking:
    """A session that asks as the owner, or as a role, and counts what that costs; one core, whatever the server would allow."""

    def __init__(self, conninfo: str, *, role: str | None = None) -> None:
        self._session = psycopg.connect(conninfo, autocommit=True)
        self._session.execute("SET search_path TO public")
        self._session.execute("SET max_parallel_workers_per_gather TO 0")
        self._session.execute("SET TimeZone TO 'UTC'")
        self._session.execute(f"SET statement_timeout TO '{PATIENCE_SECONDS}s'".encode())
        self.jit = self._ask("SHOW jit")[0][0]
        if role:
            self._session.execute(f"SET ROLE {role}".encode())
        self._counted = Path(f"/proc/{self._session.info.backend_pid}/schedstat")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def cost(self, sql: str) -> Cost | None:
        """Ask once for warming up, then five times; None where it takes longer than two minutes. Raises what psycopg raises."""
        try:
            first, rows = self._once(sql)
            taken = [first] if first > SLOW_MS else [self._once(sql)[0] for _ in range(TIMES)]
        except psycopg.errors.QueryCanceled:
            return None
        return Cost(least=min(taken), middle=median(taken), rows=rows)

    def plan(self, sql: str, *, carried_out: bool = True) -> str:
        """Return the plan as it was carried out, without the time of each node, or as it would be."""
        options = "ANALYZE, BUFFERS, TIMING OFF, COSTS OFF" if carried_out else "COSTS OFF"
        rows = self._ask(f"EXPLAIN ({options}) {sql}")
        return "\n".join(row[0] for row in rows)

    def _once(self, sql: str) -> tuple[float, int]:
        before = self._spent()
        rows = len(self._ask(sql))
        return (self._spent() - before) / 1e6, rows

    def _spent(self) -> int:
        """Return the nanoseconds that the server's process was on a core; it waits for us, so it is on none now."""
        time.sleep(0.002)  # the kernel adds up when the process goes to sleep
        return int(self._counted.read_text().split()[0])

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._session.execute(sql.encode()).fetchall()
