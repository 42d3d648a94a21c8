"""Knows the lane of many accounts in one process: each connection with a token, a limiter and calls of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.bench import Found, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.lanes.backfill import RATE
from benchmarks.process import LaneFailed
from benchmarks.serving import pages

CALLS_EACH = 40


def measure(stage: Stage, found: Found, *, connections: int) -> None:
    """Add one sample for each round; a row that is missing, or belongs to somebody else, fails the lane."""
    calls = connections * CALLS_EACH
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
                with stage.postgres.counting(lane) as count:
                    look = partial(_note, sessions, count)
                    sample, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served, meanwhile=look)
                wrong = connections - lane.number(
                    "SELECT count(*) FROM (SELECT connection, count(*) AS calls, min(call_id::bigint) AS least, "  # noqa: S608
                    "max(call_id::bigint) AS most FROM calls GROUP BY 1) c "
                    f"WHERE calls = {CALLS_EACH} AND most - least = {CALLS_EACH - 1} "
                    f"AND (least - 12000) / {CALLS_EACH} = substr(connection, 7)::bigint"
                )
                if wrong:
                    raise LaneFailed(f"{wrong} of {connections} connections do not hold their calls")
                ended = lane.number("SELECT count(*) FROM sync.runs WHERE status = 'succeeded'")
                sample |= {"connections": connections, "sessions": max(sessions, default=0), "failed": connections - ended}
                found["fleet"].append(sample)


def _note(sessions: list[int], count: Callable[[], int]) -> None:
    sessions.append(count())
