"""
Fifty connections at full speed in one worker, for ten minutes: its memory is flat, and no session, thread or file is left open.

    python -m tests.lasting.full_speed [--minutes 10] [--share 1.0]

Every connection reads all that it has in every run, all of them at once. Meanwhile calls are deleted and altered by hand, so that
rows are written too, audits go on, and the metrics are asked for. In the end everything is as the providers have it. `--share` of
the usual number of calls is for a first try.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psycopg

from benchmarks.dataset import lasting
from benchmarks.process import cpu_seconds, memory_now
from benchmarks.records import ORGANIZATION
from benchmarks.serving import Pages, pages
from etl.embedded.binaries import find
from etl.warehouse.database import Database
from etl.warehouse.schema import migrate
from tests.acceptance.process import execute, rows, wait_until
from tests.acceptance.server import OwnServer
from tests.lasting.ticks import say

CONNECTIONS = {"tuple": 26, "bimpe": 8, "salpre": 8, "krosai": 8}
CALLS_EACH = {"tuple": 20_000, "bimpe": 4_000, "salpre": 4_000, "krosai": 4_000}
KEYS: dict[str, dict[str, Any]] = {
    "tuple": {},
    "bimpe": {"details": False, "per_page": 100},
    "salpre": {"details": False, "per_page": 100},
    "krosai": {"details": False, "per_page": 100, "organization_id": ORGANIZATION},
}
LOOK_SECONDS, HURT_SECONDS = 5, 15
GROWTH, ROOM_MB = 1.1, 20
"""What the last third may have more than the third before it: a tenth, or so many megabytes, of memory."""

WRITTEN = "SELECT coalesce(sum(inserted + updated), 0), coalesce(sum(unchanged), 0), coalesce(sum(requests), 0) FROM sync.runs"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
HELD = "SELECT connection, count(*), count(*) FILTER (WHERE raw ? 'altered') FROM calls GROUP BY 1"
GONE = "DELETE FROM {table} WHERE connection = %s AND abs(hashtext(call_id)) %% 10 = 3"
ALTERED = """
UPDATE calls SET raw = raw || '{"altered": true}', content_hash = '\\x00'
WHERE connection = %s AND abs(hashtext(call_id)) %% 10 = 7
"""
CALM = """
SELECT count(DISTINCT connection) = {connections} FROM sync.runs
WHERE status = 'succeeded' AND started_at > (SELECT at FROM public.calm)
"""
LOADED = "SELECT count(DISTINCT connection) = {connections} FROM sync.runs WHERE status = 'succeeded'"
BY_STATUS = "SELECT kind || ' ' || status, count(*) FROM sync.runs GROUP BY 1 ORDER BY 1"
LEFT = "SELECT count(*) FROM sync.runs WHERE status = 'running'"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker held at one moment."""

    seconds: float
    megabytes: float
    threads: int
    files: int
    sessions: int


def main() -> int:
    """Run it and say what was seen; the exit code is 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    each = {provider: round(calls * options.share) // 4 * 4 for provider, calls in CALLS_EACH.items()}
    outlines = [lasting(provider, number * each[provider]) for provider, number in CONNECTIONS.items()]
    room = ("listen_addresses=", "max_connections=250")
    with (
        tempfile.TemporaryDirectory() as name,
        OwnServer(find(None, wanted=None).folder, options=room) as server,
        pages(*outlines, folder=Path(name)) as served,
    ):
        execute(server.url(), "CREATE DATABASE warehouse")
        url = server.url("warehouse")
        with Database(url) as database:
            migrate(database)
        expected, port = configure(Path(name), url, served, each), free_port()
        worker = begin(Path(name), port)
        with worker:
            wait_until(url, LOADED.format(connections=len(expected)))
            say("every connection was synced once")
            seen = watched(worker, url, port=port, minutes=options.minutes)
            execute(url, "CREATE TABLE public.calm AS SELECT clock_timestamp() AS at")
            wait_until(url, CALM.format(connections=len(expected)))
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(120)
        return report(url, seen, expected, code, said=(Path(name) / "worker.log").read_text("utf-8"))


def configure(folder: Path, url: str, served: Pages, each: dict[str, int]) -> dict[str, int]:
    """Write the configuration; return how many calls each connection has."""
    lines = ["[warehouse]", f"url = {json.dumps(url)}", "[worker]", f"concurrency = {sum(CONNECTIONS.values())}"]
    expected = {}
    for provider, number in CONNECTIONS.items():
        for place in range(number):
            name = f"{provider}_{place:02}"
            expected[name] = each[provider]
            keys = {
                "provider": provider,
                "token": f"fleet-{place}-{each[provider]}",
                "base_url": served.url(provider),
                "rate_limit": "1000/s",
                "schedule": "* * * * *",
                "lookback": "3650d",
                "audit_schedule": "*/2 * * * *",
                **KEYS[provider],
            }
            lines += [f"[connections.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    (folder / "config.toml").write_text("\n".join(lines), encoding="utf-8")
    return expected


def free_port() -> int:
    """Return a port of this machine that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def begin(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the worker."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"(?i)etl_|.*_proxy$", name)}
    kept |= {"ETL_SECRETS_DIR": str(folder), "ETL_WORKER__LISTEN": f"127.0.0.1:{port}"}
    with (folder / "worker.log").open("wb") as log:
        command = [sys.executable, "-m", "etl", "--config", str(folder / "config.toml"), "worker"]
        return subprocess.Popen(command, env=kept, stdout=log, stderr=log)


def watched(worker: subprocess.Popen[bytes], url: str, *, port: int, minutes: float) -> list[Seen]:
    """Look at the worker again and again, ask for its metrics, and alter calls by hand meanwhile."""
    seen: list[Seen] = []
    before = cpu_seconds(worker.pid)
    began, hurt, told, chance = time.monotonic(), 0.0, 0.0, Random(1)
    with psycopg.connect(url, autocommit=True) as asking:
        while (passed := time.monotonic() - began) < minutes * 60:
            time.sleep(LOOK_SECONDS)
            assert worker.poll() is None, "the worker has ended"
            seen.append(looked(worker.pid, asking, passed))
            if passed - hurt >= HURT_SECONDS:
                hurt = passed
                with suppress(psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                    alter(asking, chance)
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
            if passed - told >= 60:
                told = passed
                written, unchanged, requests = asking.execute(WRITTEN.encode()).fetchone() or (0, 0, 0)
                say(f"{seen[-1]}; written {written}, read unchanged {unchanged}, requests {requests}")
    say(f"{cpu_seconds(worker.pid) - before:.0f} s of processor time in {time.monotonic() - began:.0f} s; load {os.getloadavg()}")
    return seen


def alter(asking: psycopg.Connection[Any], chance: Random) -> None:
    """Delete a tenth of one connection's calls, and alter a tenth of another's: its next run has rows to write."""
    asking.execute("SET lock_timeout TO '2s'")
    names = [f"{provider}_{place:02}" for provider, number in CONNECTIONS.items() for place in range(number)]
    gone, altered = chance.sample(names, 2)
    for table in ("call_participants", "calls"):
        asking.execute(GONE.format(table=table).encode(), (gone,))
    asking.execute(ALTERED.encode(), (altered,))


def looked(pid: int, asking: psycopg.Connection[Any], passed: float) -> Seen:
    """Return what the worker holds now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    threads = int(re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)[0])
    (sessions,) = asking.execute(SESSIONS.encode()).fetchone() or (0,)
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Seen(round(passed), round(memory_now(pid) / 2**20), threads, files, sessions)


def thirds(seen: list[Seen], name: str) -> Iterator[list[float]]:
    """Yield the values of the second and the last third of the time; the first one is for warming up."""
    third = len(seen) // 3
    for part in (seen[third : 2 * third], seen[2 * third :]):
        yield [getattr(one, name) for one in part]


def report(url: str, seen: list[Seen], expected: dict[str, int], code: int, *, said: str) -> int:
    """Say what was seen, and return the exit code."""
    wrong: dict[str, object] = {}
    for name in ("megabytes", "threads", "files", "sessions"):
        before, after = thirds(seen, name)
        say(f"{name}: median {median(before)} then {median(after)}, at most {max(before)} then {max(after)}")
        room = max(max(before) * GROWTH, max(before) + (ROOM_MB if name == "megabytes" else 2))
        wrong[f"{name} grew"] = int(max(after) > room)
    held = {name: (calls, altered) for name, calls, altered in rows(url, HELD)}
    differing = {name: held.get(name) for name, calls in expected.items() if held.get(name) != (calls, 0)}
    if differing:
        say(f"not as the provider has them (calls held, altered ones): {differing}")
    wrong["connections that are not as the provider has them"] = len(differing)
    wrong["sessions left"] = rows(url, SESSIONS)[0][0]
    wrong["runs left running"] = rows(url, LEFT)[0][0]
    wrong["exit code"] = code
    wrong["faults"] = said.count("Traceback") + said.count("job.fault")
    for told in {line[:3000] for line in said.splitlines() if "Traceback" in line or "job.fault" in line}:
        say(told)
    events = re.findall(r'"event": "([a-z_.]+)"', said)
    say(f"runs: {dict(rows(url, BY_STATUS))}; warnings: { {name: events.count(name) for name in sorted(set(events))} }")
    say(f"calls held: {sum(calls for calls, _ in held.values())}; what may not be: {wrong}")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
