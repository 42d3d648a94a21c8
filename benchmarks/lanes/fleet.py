"""Knows the lane of many accounts in one process: each connection with a token, a limiter and calls of its own."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Sample, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.lanes.backfill import RATE
from benchmarks.postgres import Lane
from benchmarks.process import LaneFailed
from benchmarks.serving import pages

CALLS_EACH = 40


def measure(stage: Stage, *, connections: int) -> dict[str, list[Sample]]:
    """Return one sample for each round; a row that is missing, or belongs to somebody else, fails the lane."""
    calls = connections * CALLS_EACH
    found: list[Sample] = []
    with pages(lasting("tuple", calls), folder=stage.data) as served:
        for number in range(stage.repeat):
            stage.say(f"{connections} connections in one process, round {number + 1} of {stage.repeat}")
            with stage.postgres.database(migrated=True) as lane:
                config = configure(
                    stage.scratch,
                    lane,
                    served,
                    {
                        f"fleet_{account}": {"provider": "tuple", "token": f"fleet-{account}-{CALLS_EACH}", "rate_limit": RATE}
                        for account in range(connections)
                    },
                )
                sessions: list[int] = []
                look = partial(_count, stage, lane, sessions)
                sample, _ = stage.measured(
                    etl(config, "sync"),
                    calls=calls,
                    pages=served,
                    meanwhile=look,
                )
                wrong = connections - lane.number(
                    "SELECT count(*) FROM (SELECT connection, count(*) AS calls, min(call_id::bigint) AS least, "  # noqa: S608
                    "max(call_id::bigint) AS most FROM calls GROUP BY 1) c "
                    f"WHERE calls = {CALLS_EACH} AND most - least = {CALLS_EACH - 1} "
                    f"AND (least - 12000) / {CALLS_EACH} = substr(connection, 7)::bigint"
                )
                if wrong:
                    raise LaneFailed(f"{wrong} of {connections} connections do not hold their calls")
                ended = lane.number("SELECT count(*) FROM sync.runs WHERE status = 'succeeded'")
                found.append(sample | {"connections": connections, "sessions": max(sessions, default=0), "succeeded": ended})
    return {"fleet": found}


def _count(stage: Stage, lane: Lane, sessions: list[int]) -> None:
    """Note how many sessions the lane's database has now."""
    sessions.append(stage.postgres.sessions(lane))
