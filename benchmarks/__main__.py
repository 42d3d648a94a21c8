"""Knows the command line of the benchmarks: which lanes run, how large, and where what they measured goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import picture, report
from benchmarks.bench import Sample, stage
from benchmarks.dataset import default_folder
from benchmarks.lanes import allowance, backfill, fleet, idle, lists, scale

Found = dict[str, list[Sample]]

SETS = ("backfill", "idle", "lists", "fleet", "allowance", "scale")
"""In the order in which `all` runs them: what has ratios first, what takes longest last."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, print the table, keep the numbers."""
    options = _options().parse_args(arguments)
    if options.lanes == "draw":
        say(f"Drawn: {picture.draw(options.results, options.picture)}")
        return 0
    chosen = SETS if options.lanes == "all" else (options.lanes,)
    found: Found = {}
    with stage(data=options.data, repeat=options.repeat, say=say, options=vars(options)) as played:
        lanes: dict[str, Callable[[], Found]] = {
            "backfill": lambda: backfill.measure(played, calls=options.calls, lanes=options.only or backfill.LANES),
            "idle": lambda: idle.measure(played),
            "lists": lambda: lists.measure(played, calls=options.list_calls),
            "fleet": lambda: fleet.measure(played, connections=options.connections),
            "allowance": lambda: allowance.measure(repeat=options.repeat, say=say),
            "scale": lambda: scale.measure(played, calls=options.scale_calls),
        }
        for name in chosen:
            found |= lanes[name]()
        sizes = {name: getattr(options, name) for name in ("calls", "list_calls", "scale_calls", "connections", "repeat")}
        document = report.document(found, machine=report.machine(played.postgres.settings()), sizes=sizes)
    say("\n" + report.text(document))
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{options.lanes}.json"
    report.keep(document, file)
    say(f"Kept: {file.name}")
    return 0


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options() -> argparse.ArgumentParser:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("lanes", nargs="?", default="all", choices=("all", *SETS, "draw"), help="what to run (default: all)")
    parser.add_argument("--calls", type=int, default=1_000_000, help="calls of the backfill (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=backfill.LANES, metavar="LANE", help="lanes of the backfill only")
    parser.add_argument("--list-calls", type=int, default=50_000, help="calls of each list (default: %(default)s)")
    parser.add_argument("--scale-calls", type=int, default=10_000_000, help="calls of the long backfill (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=500, help="connections of the fleet (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_folder(), help="where files of calls and peers are kept")
    parser.add_argument("--results", type=Path, default=here / "results", help="where the numbers are kept")
    parser.add_argument("--picture", type=Path, default=here.parent / "docs" / "performance.svg", help="what `draw` writes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
