"""Knows the backfill of the providers with plain lists, newest first and a hundred to a page: requests weigh most there."""

from __future__ import annotations

from typing import Any

from benchmarks.bench import Found, Stage, configure, etl
from benchmarks.dataset import lasting
from benchmarks.lanes.backfill import held
from benchmarks.process import LaneFailed
from benchmarks.records import ORGANIZATION
from benchmarks.serving import pages

PROVIDERS: dict[str, dict[str, Any]] = {
    "bimpe": {},
    "salpre": {},
    "krosai": {"organization_id": ORGANIZATION, "rate_limit": "1000/s"},
}
PER_PAGE = 100


def measure(stage: Stage, found: Found, *, calls: int) -> None:
    """Add the samples of each provider, one for each round."""
    with pages(*(lasting(provider, calls) for provider in PROVIDERS), folder=stage.data) as served:
        for number in range(stage.repeat):
            stage.say(f"lists of {calls:,} calls, round {number + 1} of {stage.repeat}")
            for provider, keys in PROVIDERS.items():
                section = {"provider": provider, "token": f"first-{calls}", "per_page": PER_PAGE, "details": False, **keys}
                with stage.postgres.database(migrated=True) as lane:
                    config = configure(stage.scratch, lane, served, {provider: section})
                    sample, _ = stage.measured(etl(config, "sync"), calls=calls, pages=served)
                    sample |= held(lane)
                if sample["rows"] != calls:
                    raise LaneFailed(f"{provider}: {sample['rows']:,} of {calls:,} calls were loaded")
                found[provider].append(sample)
