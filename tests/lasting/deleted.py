"""
An analyst's mistake, `DELETE FROM calls`: the next audit notices, `etl audit --repair` brings it back, and what that costs.

    python -m tests.lasting.deleted [--share 1.0]

A hundred thousand calls of three providers with totals, or a share of that. What is compared afterwards is every column of every
call and participant, but for when and by which run it was written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.bench import configure, etl, surroundings
from benchmarks.dataset import lasting
from benchmarks.postgres import Lane, postgres
from benchmarks.records import ORGANIZATION
from benchmarks.serving import ROOT, Pages, pages
from tests.lasting.ticks import say

CALLS = {"tuple": 80_000, "bimpe": 10_000, "krosai": 10_000}
KEYS: dict[str, dict[str, Any]] = {
    "tuple": {"rate_limit": "200/s"},
    "bimpe": {"details": False, "rate_limit": "1000/s"},
    "krosai": {"details": False, "rate_limit": "1000/s", "organization_id": ORGANIZATION},
}
WITHOUT = "first_seen_at,last_changed_at,changed_at,observed_at,detail_observed_at,detail_due_at,last_run_id"
"""When a row was written, by which run, and from when on details are due: of calls that were read again it is another."""
SUM = f"""
SELECT count(*), coalesce(sum(hashtextextended((to_jsonb(t) - string_to_array('{WITHOUT}', ','))::text, 0)::numeric), 0)
FROM {{table}} t
"""


def main() -> int:
    """Load, delete, audit, repair, audit; the exit code is 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    calls = {provider: round(number * options.share) for provider, number in CALLS.items()}
    outlines = [lasting(provider, number) for provider, number in calls.items()]
    with tempfile.TemporaryDirectory() as name, pages(*outlines, folder=Path(name)) as served:
        folder = Path(name)
        folder.chmod(0o755)  # the embedded server runs under an account of its own where we are root
        with postgres(folder) as server, server.database(migrated=True) as lane:
            sections = {
                provider: {"provider": provider, "token": f"first-{number}", **KEYS[provider]}
                for provider, number in calls.items()
            }
            return play(folder, lane, served, configure(folder, lane, served, sections))


def play(folder: Path, lane: Lane, served: Pages, config: Path) -> int:
    """Let it happen, and say what each command made of it."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        requests, began = served.requests(), time.monotonic()
        process = subprocess.Popen(
            etl(config, *arguments, "--json"), env=surroundings(folder), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        with process:
            said = process.communicate()[0]
        took = time.monotonic() - began
        document = json.loads(said)
        verdicts = {one["connection"]: one.get("verdict", one.get("status")) for one in document["connections"]}
        counts = served.requests() - requests
        say(f"etl {' '.join(arguments)}: exit {process.returncode}, {took:.0f} s, {counts} requests, {verdicts}")
        return process.returncode, document

    codes = [run("sync")[0]]
    before = sums(lane)
    lane.execute("DELETE FROM calls")
    say("DELETE FROM calls")
    codes.append(run("audit")[0])
    codes.append(run("sync")[0])  # it goes on, and does not hide what is missing
    codes.append(run("audit")[0])
    codes.append(run("audit", "--repair")[0])
    after = sums(lane)
    codes.append(run("audit")[0])
    say(f"rows before {before}")
    say(f"rows after  {after}")
    wrong = {"codes": codes != [0, 1, 0, 1, 0, 0], "rows": before != after}
    say(f"exit codes {codes}; what may not be: {wrong}")
    return 1 if any(wrong.values()) else 0


def sums(lane: Lane) -> dict[str, tuple[Any, ...]]:
    """Return how many rows each table has, and a sum over all that stands in them."""
    tables = ("calls", "call_participants", "call_messages", "person_daily")
    return {table: lane.ask(SUM.format(table=table))[0] for table in tables}


if __name__ == "__main__":
    sys.exit(main())
