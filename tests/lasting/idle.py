"""
What a worker spends on connections with nothing new: processor time of one tick and its jobs, and requests, each by connection.

    python -m tests.lasting.idle [--connections 100] [--rounds 3]

Each connection has an account of its own; the page server is a process of its own, and so is Postgres: neither is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

from benchmarks.dataset import lasting
from benchmarks.serving import pages
from etl.cli import interpreter
from etl.config import load
from etl.embedded.binaries import find
from etl.log import configure
from etl.system import system_effects
from etl.warehouse.database import Database
from etl.warehouse.schema import migrate
from etl.worker.process import Process
from tests.acceptance.process import execute, rows
from tests.acceptance.server import OwnServer
from tests.lasting.ticks import say

CALLS_EACH = 40
AGED = """
UPDATE sync.runs SET started_at = started_at - interval '17 minutes', finished_at = finished_at - interval '17 minutes'
"""


def main() -> int:
    """Sync all once, then measure rounds in which everything is due and nothing is new."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    configure(level="error")
    interpreter.set_up()
    number = options.connections
    outline = lasting("tuple", number * CALLS_EACH)
    with (
        tempfile.TemporaryDirectory() as name,
        OwnServer(find(None, wanted=None).folder) as server,
        pages(outline, folder=Path(name)) as served,
    ):
        url = server.url("warehouse")
        execute(server.url(), "CREATE DATABASE warehouse")
        with Database(url) as database:
            migrate(database)
        lines = ["[warehouse]", f"url = {json.dumps(url)}"]
        for connection in range(number):
            lines += [f"[connections.fleet_{connection}]", 'provider = "tuple"', f'token = "fleet-{connection}-{CALLS_EACH}"']
            lines += [f"base_url = {json.dumps(served.url('tuple'))}", 'rate_limit = "200/s"', 'audit_schedule = "0 0 1 1 *"']
        config = Path(name) / "config.toml"
        config.write_text("\n".join(lines), encoding="utf-8")
        settings = load(config, {}, container_secrets=Path(name) / "none")
        process = Process(settings=settings, effects=system_effects, stop=Event())
        process.work(once=True)
        for _ in range(options.rounds):
            execute(url, AGED)
            before, requests, runs = time.process_time(), served.requests(), rows(url, "SELECT count(*) FROM sync.runs")[0][0]
            process.work(once=True)
            spent = (time.process_time() - before) / number * 1000
            asked, done = served.requests() - requests, rows(url, "SELECT count(*) FROM sync.runs")[0][0] - runs
            say(f"{spent:.1f} ms of processor time and {asked / number:.2f} requests a connection; {done} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
