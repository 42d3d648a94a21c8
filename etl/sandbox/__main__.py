"""The command line of `python -m etl.sandbox`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from etl.sandbox.births import PROVIDERS
from etl.sandbox.history import History
from etl.sandbox.serving import demo_history, serve


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m etl.sandbox", description="Serve the providers' APIs on loopback.")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=datetime.fromisoformat, help="the virtual now, which then moves by advance only")
    parser.add_argument("--past-days", type=float, help="how many days of history lie before the start")
    parser.add_argument("--no-limits", action="store_true", help="no rate limits")
    for provider in PROVIDERS:
        parser.add_argument(f"--{provider}-per-day", type=float, metavar="CALLS")
    given = parser.parse_args(arguments)
    rates = {provider: rate for provider in PROVIDERS if (rate := getattr(given, f"{provider}_per_day")) is not None}
    start: datetime | None = given.start
    if start is not None and start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    if start is None and not rates and given.past_days is None:
        history = demo_history(given.seed)
    else:
        past = timedelta(days=2 if given.past_days is None else given.past_days)
        history = History(given.seed, start=start or datetime.now(UTC), past=past, calls_per_day=rates)
    with contextlib.suppress(KeyboardInterrupt):
        serve(port=given.port, host=given.host, history=history, limited=not given.no_limits, real_clock=start is None)


if __name__ == "__main__":
    main()
