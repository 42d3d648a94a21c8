"""Knows the lanes of a program that has nothing to do: `etl sync` with nothing new against a running server, and `etl --help`."""

from __future__ import annotations

from benchmarks.bench import Found, Stage, configure, etl, surroundings
from benchmarks.dataset import recent
from benchmarks.lanes.backfill import TABLES, connection, held
from benchmarks.process import run
from benchmarks.serving import ROOT, pages

CALLS = 20_000
SPACING_MS = 120_000
"""Two minutes: the 24 hours of the lookback are 720 calls, which stand on one page."""


def measure(stage: Stage, found: Found) -> None:
    """Add the samples of both lanes, one for each round."""
    with (
        pages(recent("tuple", CALLS, spacing_ms=SPACING_MS), folder=stage.scratch / "recent") as served,
        stage.postgres.database(migrated=True) as lane,
    ):
        config = configure(stage.scratch, lane, served, {"pairing": connection(CALLS)})
        for _ in range(2):  # the second makes settled what the first had not met yet
            run(etl(config, "sync"), env=surroundings(stage.scratch), cwd=ROOT)
        rows = held(lane)["rows"]
        for number in range(max(stage.repeat, 5)):
            stage.say(f"nothing new, round {number + 1}")
            before = lane.writes(*TABLES)
            sample, _ = stage.measured(etl(config, "sync"), calls=0, pages=served)
            found["idle"].append(sample | {"rows": rows, "rewritten": lane.writes(*TABLES) - before})
            ended = run(etl(config, "--help"), env=surroundings(stage.scratch), cwd=ROOT)
            found["help"].append({"wall": ended.wall, "cpu": ended.cpu, "memory": ended.memory})
