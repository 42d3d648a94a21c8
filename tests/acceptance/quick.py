"""
Runs the program by a clock that runs so many times as fast as the machine's since an instant: `quick.py TIMES SINCE COMMAND…`.

So real processes wait for a provider's minutes, together and by one clock, without a test that waits as long. Once everything is
imported it says "ready", and begins when it is told to: of quick time, starting a process would cost too much.
"""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from etl import system
from etl.cli import main


@dataclass(frozen=True, slots=True)
class Quick:
    """A time that runs `times` as fast as the machine's since `since` (seconds since 1970)."""

    times: float
    since: float

    def seconds(self) -> float:
        """Return its instant in seconds since 1970."""
        return self.since + (time.time() - self.since) * self.times


def become(quick: Quick) -> None:
    """Let this process's clock be that one."""
    true_sleep = system.SystemClock.sleep

    def now(_clock: system.SystemClock) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=quick.seconds())

    def sleep(clock: system.SystemClock, seconds: float) -> None:
        true_sleep(clock, seconds / quick.times)

    system.SystemClock.now = now  # type: ignore[method-assign]
    system.SystemClock.sleep = sleep  # type: ignore[method-assign]


if __name__ == "__main__":
    for module in ("etl.cli.checking", "etl.cli.syncing", "etl.http.accounts", "etl.http.client", "etl.warehouse.rehearsal"):
        importlib.import_module(module)
    become(Quick(float(sys.argv[1]), float(sys.argv[2])))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    main(sys.argv[3:])
