"""
Five hundred real ticks of one worker, on a sandbox whose clock steps 15 minutes a tick, with faults of every kind.

    python -m tests.lasting.ticks [--steps 500] [--seed 1] [--calm 40]

In the end all is fresh, equal to the truth, and the process as large as at the beginning. A step ends when nothing is due, waits
or is at work any more; then the database's clock passes on too: the runs grow older by 17 minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

from etl.embedded.binaries import find
from etl.log import configure
from etl.model import Verdict
from etl.sandbox import NO_LIMITS, History, Sandbox
from etl.warehouse.database import Database
from etl.warehouse.schema import migrate
from etl.worker.look import Look
from tests.acceptance.cast import USUAL
from tests.acceptance.expected import differences, expected_calls, held_calls
from tests.acceptance.process import execute
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import START, Stage
from tests.acceptance.test_audit import audited
from tests.acceptance.working import age, service

TRANSIENT = ("cut", "truncate", "hang", "slow", "status_500", "status_502", "status_503", "html_200", "invalid_json")
TRANSIENT += ("control_characters", "rate_limited")
LASTING = ("outage_empty", "other_account", "clamp", "total_missing", "page_repeated", "endless_next", "redirect", "page_ignored")
BUSY = "SELECT 1 AS one FROM jobs.procrastinate_jobs WHERE status IN ('todo', 'doing')"
SESSIONS = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"


class Story:
    """What happens between ticks, and what was seen."""

    def __init__(self, stage: Stage, *, steps: int, calm: int, seed: int, stop: Event) -> None:
        self.stage, self.steps, self.calm, self.stop = stage, steps, calm, stop
        self.chance = random.Random(seed)
        self.step = self.ticks = 0
        self.seen: list[tuple[int, int, int, int]] = []

    def after_tick(self, look: Look) -> None:
        """Go on with the next step once the last one's work is done."""
        self.ticks += 1
        if any(one.due(look.now) for one in look.connections.values()) or self.stage.rows(BUSY):
            return
        if self.step % 25 == 0:
            self.note()
        if self.step == self.steps:
            self.stop.set()
            return
        self.step += 1
        self.stage.sandbox.faults.clear()
        if self.step <= self.steps - self.calm:
            self.spoil()
        self.stage.history.advance(timedelta(minutes=15))
        age(self.stage, by=timedelta(minutes=17))

    def spoil(self) -> None:
        """Choose faults for the next step; two of three steps have none that lasts."""
        for provider in USUAL:
            if self.chance.random() < 0.5:
                kind, times = self.chance.choice(TRANSIENT), self.chance.randint(1, 4)
                self.stage.sandbox.faults.add(kind, provider=provider, probability=0.3, times=times)
        if self.chance.random() < 0.33:
            self.stage.sandbox.faults.add(self.chance.choice(LASTING), provider=self.chance.choice(USUAL))

    def note(self) -> None:
        """Keep the size of the process, and say how far it is."""
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        sessions = int(self.stage.rows(SESSIONS)[0]["n"])
        self.seen.append((self.step, kilobytes // 1024, threading.active_count(), sessions))
        say("step {} of {}: {} MB, {} threads, {} sessions".format(self.step, self.steps, *self.seen[-1][1:]))


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play the story, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm", type=int, default=40, help="steps at the end without faults: what failed has to recover")
    options = parser.parse_args()
    configure(level="error")
    calls = {"tuple": 60, "bimpe": 40, "salpre": 40, "krosai": 40}
    history = History(options.seed, start=START, past=timedelta(days=1), calls_per_day=calls, agent_changes=(0, 0, 0))
    stop, began = Event(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, OwnServer(find(None, wanted=None).folder) as server:
        execute(server.url(), "CREATE DATABASE warehouse")
        url = server.url("warehouse")
        with Database(url) as database, Sandbox(history, limits=NO_LIMITS) as sandbox:
            migrate(database)
            stage = Stage(sandbox=sandbox, database=database, url=url, folder=Path(folder))
            stage.settings = {provider: {"per_page": 20} for provider in USUAL}
            story = Story(stage, steps=options.steps, calm=options.calm, seed=options.seed, stop=stop)
            service(stage, stop=stop, after_tick=(story.after_tick,)).serve()
            took = time.monotonic() - began
            problems = compared(stage)
            say(f"{story.step} steps, {story.ticks} ticks, {took:.0f} s")
            for status, number in sorted((row["status"], row["n"]) for row in stage.rows(STATUSES)):
                say(f"runs {status}: {number}")
            for row in stage.rows(CODES):
                say(f"  {row['error_code']}: {row['n']}")
            say(f"audits: {stage.rows('SELECT count(DISTINCT (connection, checked_at)) AS n FROM sync.audits')[0]['n']}")
    for problem in problems:
        say(f"WRONG: {problem}")
    return 1 if problems else 0


STATUSES = "SELECT status, count(*) AS n FROM sync.runs GROUP BY 1"
CODES = "SELECT error_code, count(*) AS n FROM sync.runs WHERE error_code IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
NEWEST = "SELECT DISTINCT ON (connection) connection, status FROM sync.runs ORDER BY connection, id DESC"


def compared(stage: Stage) -> list[str]:
    """Return what is not as it has to be: not fresh, not equal to the truth."""
    problems = [
        f"{row['connection']}: the newest run {row['status']}" for row in stage.rows(NEWEST) if row["status"] != "succeeded"
    ]
    for provider in USUAL:
        held = as_served(held_calls(stage, provider))
        found = differences(expected_calls(stage, provider), held)
        if found:
            say(f"{provider}: {len(found)} of {len(held)} calls differ before an audit with repair")
        outcome = audited(stage, provider, repair=True)
        verdicts = {one.verdict for one in outcome.verdicts}
        if outcome.error or not verdicts <= {Verdict.COMPLETE, Verdict.REPAIRED, Verdict.UNVERIFIABLE}:
            problems.append(f"{provider}: {outcome.error} {verdicts}")
        if left := differences(expected_calls(stage, provider), as_served(held_calls(stage, provider))):
            problems.append(f"{provider}: {len(left)} calls differ: {dict(list(left.items())[:3])}")
    return problems


def as_served(held: dict[str, Any]) -> dict[str, Any]:
    """
    Return the calls without the note that the fault `control_characters` puts into a record.

    Where it was the last that was seen of a call before the lookback passed, it is what the provider last said.
    """
    return {
        call: row | {"listed": {key: value for key, value in row["listed"].items() if key != "note"}}
        for call, row in held.items()
    }


if __name__ == "__main__":
    sys.exit(main())
