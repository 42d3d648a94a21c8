"""
Knows the lanes that load the same calls into an empty database, one after the other in each round, so that their ratios hold
whatever the machine does: ours, ours again (nothing changed), straight COPY in two rhythms.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import Found, Sample, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.finished import dump, read_plan
from benchmarks.postgres import Lane
from benchmarks.process import LaneFailed
from benchmarks.serving import Pages, pages

RATE = "200/s"
"""Allows 200,000 calls a second, more than any lane takes, and makes the limiter remember no more than in life."""

COPIES = {"copy": "whole", "copy_paged": "paged"}
LANES = ("ours", "reread_fresh", "reread", *COPIES, "ours_shielded")
ERASURE_KEY = "0123456789abcdef0123456789abcdef"
TABLES = ("calls", "call_participants", "call_history")


def measure(stage: Stage, found: Found, *, calls: int, lanes: Sequence[str] = LANES) -> None:
    """Add the samples of each lane, one for each round."""
    with pages(lasting("tuple", calls), folder=stage.data) as served:
        for number in range(stage.repeat):
            stage.say(f"backfill of {calls:,} Tuple calls, round {number + 1} of {stage.repeat}")
            play(stage, served, found, calls=calls, lanes=lanes)
    shutil.rmtree(stage.scratch / "finished", ignore_errors=True)


def play(stage: Stage, served: Pages, found: Found, *, calls: int, lanes: Sequence[str]) -> None:
    """Run each lane once. The finished rows that are copied are kept in the stage's scratch folder for the next round."""
    _ours(stage, served, calls, found, lanes)
    if "ours_shielded" in lanes:
        found["ours_shielded"].append(_shielded(stage, served, calls))
    for lane, rhythm in COPIES.items():
        if lane in lanes:
            found[lane].append(_copied(stage, calls, rhythm))


def connection(calls: int) -> dict[str, str | bool]:
    """Return the keys of a Tuple connection that sees so many calls."""
    return {"provider": "tuple", "token": f"first-{calls}", "rate_limit": RATE}


def _ours(stage: Stage, served: Pages, calls: int, found: Found, lanes: Sequence[str]) -> None:
    """
    Load, read again at once, read again when the tables are settled.

    Whoever reads rows first after they were written marks them as committed, which goes into the log where pages have checksums.
    So nothing looks at the tables between the first two; and before the third they are vacuumed, as autovacuum would within
    minutes, so that it does not do so while we measure.
    """
    with stage.postgres.database(migrated=True) as lane:
        config = configure(stage.scratch, lane, served, {"pairing": connection(calls)})
        sample, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served)
        again = [_reread(stage, served, config, lane, calls)] if "reread_fresh" in lanes else []
        rows = held(lane)
        if rows["rows"] != calls:
            raise LaneFailed(f"{rows['rows']:,} of {calls:,} calls were loaded")
        if "ours" in lanes:
            found["ours"].append(sample | rows)
        if again:
            found["reread_fresh"] += again
        if "reread" in lanes:
            lane.execute("VACUUM (ANALYZE)")
            found["reread"].append(_reread(stage, served, config, lane, calls) | held(lane))
        if set(COPIES) & set(lanes) and not (stage.scratch / "finished").exists():
            dump(lane, stage.scratch / "finished")


def _shielded(stage: Stage, served: Pages, calls: int) -> Sample:
    """Load where somebody was forgotten, who is named in no call: every record is searched for them."""
    with stage.postgres.database(migrated=True) as lane:
        config = configure(stage.scratch, lane, served, {"pairing": connection(calls)}, warehouse={"erasure_key": ERASURE_KEY})
        stage.measured(etl(config, "forget", "--email", "nobody@example.org", "--yes"), calls=0)
        sample, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served)
        return sample | held(lane)


def _reread(stage: Stage, served: Pages, config: Path, lane: Lane, calls: int) -> Sample:
    before = lane.writes(*TABLES)
    sample, _ = stage.measured(etl(config, "sync", "--full"), calls=calls, pages=served)
    return sample | {"rewritten": lane.writes(*TABLES) - before}


def _copied(stage: Stage, calls: int, rhythm: str) -> Sample:
    plan = stage.scratch / "finished" / "plan.json"
    with stage.postgres.database(migrated=True) as lane:
        command = [sys.executable, "-m", "benchmarks.copying", str(plan), lane.conninfo, rhythm]
        sample, _ = stage.measured(command, calls=calls)
        rows = held(lane)
    tables, _ = read_plan(plan)
    if [rows["rows"], rows["child_rows"]] != [table.rows for table in tables]:
        raise LaneFailed(f"not all rows were copied: {rows}")
    return sample | rows


def held(lane: Lane) -> Sample:
    """Return how many calls and participants a warehouse holds."""
    return {
        "rows": lane.number("SELECT count(*) FROM calls"),
        "child_rows": lane.number("SELECT count(*) FROM call_participants"),
    }
