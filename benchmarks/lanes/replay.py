"""
Knows the lanes that derive everything held again, against the backfill that loaded it: `etl replay` and `etl audit`.

Nothing has changed, so nothing is written. An audit also counts against the provider, which is a few requests here.
"""

from __future__ import annotations

from benchmarks.bench import Found, Sample, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.lanes.backfill import TABLES, connection, held
from benchmarks.process import LaneFailed
from benchmarks.serving import pages


def measure(stage: Stage, found: Found, *, calls: int) -> None:
    """Add the samples of each lane, one for each round; the backfill's too, under a name of its own."""
    with pages(lasting("tuple", calls), folder=stage.data) as served:
        for number in range(stage.repeat):
            stage.say(f"replay and audit of {calls:,} Tuple calls, round {number + 1} of {stage.repeat}")
            with stage.postgres.database(migrated=True) as lane:
                config = configure(stage.scratch, lane, served, {"pairing": connection(calls)})
                loaded, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served)
                rows = held(lane)
                if rows["rows"] != calls:
                    raise LaneFailed(f"{rows['rows']:,} of {calls:,} calls were loaded")
                lane.execute("VACUUM (ANALYZE)")  # as autovacuum would within minutes
                found["replay_ours"].append(loaded | rows)
                for command in ("replay", "audit"):
                    before = lane.writes(*TABLES)
                    sample: Sample
                    sample, _ = stage.measured(etl(config, command), calls=calls, pages=served)
                    found[command].append(sample | rows | {"rewritten": lane.writes(*TABLES) - before})
