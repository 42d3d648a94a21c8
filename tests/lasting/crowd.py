"""
Four worker processes with environments of their own and fifty connections: one is killed, then the database is restarted.

    python -m tests.lasting.crowd [--workers 4] [--connections 50] [--minutes 3]

Each connection has a token, and so an account, of its own, is due every minute, and may send 20 requests a second. The provider's
answers are slow, so that work is always going on. In the end: nothing twice, nothing stuck, no allowance exceeded, and how evenly
the workers shared the work.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from threading import Lock

from etl.embedded.binaries import find
from etl.sandbox import NO_LIMITS, Sandbox
from etl.sandbox.exchange import Api
from etl.warehouse.database import Database
from etl.warehouse.schema import migrate
from tests.acceptance.process import execute, rows, wait_until
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import quiet_history
from tests.lasting.ticks import say

PER_SECOND = 20
QUEUED = "SELECT count(*) > 0 FROM jobs.procrastinate_jobs WHERE status = 'todo'"
OVERLAPPING = """
SELECT count(*) FROM sync.runs a JOIN sync.runs b USING (connection)
WHERE a.id < b.id AND a.status <> 'crashed' AND a.finished_at > b.started_at
"""
LEFT = "SELECT count(*) FROM sync.runs WHERE status = 'running'"
STUCK = "SELECT count(*) FROM jobs.procrastinate_jobs WHERE status IN ('todo', 'doing')"
SINCE = """
SELECT count(*), max(extract(epoch FROM now() - last)) FROM (
    SELECT connection, max(finished_at) AS last FROM sync.runs WHERE status = 'succeeded' GROUP BY 1
) AS newest
"""


class ManyTokens(Sandbox):
    """A sandbox that takes many tokens for its main account, and notes when each of them was used."""

    def __init__(self) -> None:
        super().__init__(quiet_history(), limits=NO_LIMITS)
        self._uses_lock = Lock()
        self.uses: dict[str, list[float]] = defaultdict(list)

    def _account(self, api: Api, headers: Mapping[str, str]) -> str | None:
        given = str(api.credential(headers))
        with self._uses_lock:
            self.uses[given].append(time.monotonic())
        return "main" if given.startswith(self.tokens[api.name]) else None

    def most_in_a_second(self) -> int:
        """Return the most uses of one token in any second."""
        most = 0
        for times in self.uses.values():
            first = 0
            for last, at in enumerate(times):
                while at - times[first] >= 1:
                    first += 1
                most = max(most, last - first + 1)
        return most


def main() -> int:
    """Run it and say what was seen; the exit code is 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, OwnServer(find(None, wanted=None).folder) as server, ManyTokens() as sandbox:
        folder, url = Path(name), server.url("warehouse")
        execute(server.url(), "CREATE DATABASE warehouse")
        with Database(url) as database:
            migrate(database)
        for hours in range(30):
            sandbox.history.add("salpre", at=sandbox.history.now - timedelta(hours=hours + 1))
        sandbox.faults.add("slow", seconds=0.3)
        started = [begin(folder, number, url, sandbox, options.connections) for number in range(options.workers)]
        wait_until(url, "SELECT count(*) > 20 FROM sync.runs WHERE status = 'succeeded'")
        wait_until(url, QUEUED)
        killed = started[0]
        killed.kill()
        say("killed the first worker while jobs waited")
        time.sleep(20)
        at_restart = time.monotonic()
        server.kill()
        server.start()
        say("restarted the database")
        execute(url, "CREATE TABLE public.restarted AS SELECT clock_timestamp() AS at")
        wait_until(url, AFTER.format(connections=options.connections))
        say(f"every connection was synced again {time.monotonic() - at_restart:.0f} s after the restart")
        time.sleep(options.minutes * 60)
        for process in started[1:]:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(120) for process in started[1:]]
        return report(url, sandbox, folder, codes, options.connections)


AFTER = """
SELECT count(DISTINCT connection) = {connections} FROM sync.runs
WHERE status = 'succeeded' AND started_at > (SELECT at FROM public.restarted)
"""


def begin(folder: Path, number: int, url: str, sandbox: Sandbox, connections: int) -> subprocess.Popen[bytes]:
    """Start a worker with a configuration of its own."""
    lines = ["[warehouse]", f"url = {json.dumps(url)}", "[worker]", 'listen = "off"', 'stop_after = "30s"']
    for connection in range(connections):
        token, address = f"{sandbox.tokens['salpre']}-{connection}", sandbox.url("salpre")
        lines += [f"[connections.box_{connection:02}]", 'provider = "salpre"', f"token = {json.dumps(token)}", "per_page = 5"]
        lines += [f"base_url = {json.dumps(address)}", 'schedule = "* * * * *"', f'rate_limit = "{PER_SECOND}/s"']
    config = folder / f"worker-{number}.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not re.match(r"(?i)etl_|.*_proxy$", name)}
    with (folder / f"worker-{number}.log").open("wb") as log:
        command = [sys.executable, "-m", "etl", "--config", str(config), "worker"]
        return subprocess.Popen(command, env=kept | {"ETL_SECRETS_DIR": str(folder)}, stdout=log, stderr=log)


def report(url: str, sandbox: ManyTokens, folder: Path, codes: list[int], connections: int) -> int:
    """Say what was seen, and return the exit code."""
    done = {path.stem: path.read_text("utf-8").count('"event": "run.finished"') for path in sorted(folder.glob("*.log"))}
    lost = {path.stem: path.read_text("utf-8").count('"event": "worker.database_lost"') for path in sorted(folder.glob("*.log"))}
    statuses = Counter(status for (status,) in rows(url, "SELECT status FROM sync.runs"))
    ((synced, oldest),) = rows(url, SINCE)
    ((calls, least, most),) = rows(
        url, "SELECT sum(n), min(n), max(n) FROM (SELECT count(*) AS n FROM calls GROUP BY connection) AS each"
    )
    say(f"runs: {dict(statuses)}; by worker: {done}; times the database was lost: {lost}")
    say(f"rescued: {sum(path.read_text('utf-8').count('job.rescued') for path in folder.glob('*.log'))}")
    say(f"the oldest newest success is {oldest:.0f} s old; requests {sum(map(len, sandbox.uses.values()))}")
    say(f"the most requests of one account in a second: {sandbox.most_in_a_second()} of {PER_SECOND}")
    wrong = {
        "runs of one connection at once": rows(url, OVERLAPPING)[0][0],
        "runs left running": rows(url, LEFT)[0][0],
        "jobs at work with no worker": rows(url, STUCK.replace("'todo', ", ""))[0][0],
        "connections never synced": connections - synced,
        "connections that do not hold the 30 calls": int((least, most) != (30, 30)),
        "allowances exceeded": int(sandbox.most_in_a_second() > PER_SECOND),
        "workers that did not end with 0": sum(code != 0 for code in codes),
    }
    say(f"calls held: {calls}; what may not be: {wrong}")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
