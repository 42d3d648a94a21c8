"""Knows the command line of the benchmarks: which lanes run, how large, and where what they measured goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import peers, picture, report
from benchmarks.bench import Found, stage
from benchmarks.dataset import default_folder
from benchmarks.lanes import allowance, backfill, fleet, idle, lists, reading, replay, rivals, scale
from benchmarks.process import LaneFailed

SETS = ("backfill", "replay", "rivals", "idle", "lists", "fleet", "allowance", "scale")
"""In the order in which `all` runs them: what has ratios first, what takes longest last."""

ALONE = ("reading",)
"""What `all` leaves out: at ten million calls it takes an hour and 12 GB, which are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, print the table, keep the numbers."""
    options = _options().parse_args(arguments)
    if options.lanes == "draw":
        say(f"Drawn: {picture.draw(options.results, options.picture)}")
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    file = options.results / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{options.lanes}.json"
    sizes = {
        name: getattr(options, name) for name in ("calls", "rival_calls", "list_calls", "scale_calls", "connections", "repeat")
    }
    found, failed = Found(list), dict[str, str]()
    with stage(data=options.data, repeat=options.repeat, say=say) as played:
        lanes: dict[str, Callable[[], None]] = {
            "backfill": lambda: backfill.measure(played, found, calls=options.calls, lanes=options.only or backfill.LANES),
            "replay": lambda: replay.measure(played, found, calls=options.calls),
            "rivals": lambda: rivals.measure(played, found, calls=options.rival_calls, names=options.against or peers.NAMES),
            "idle": lambda: idle.measure(played, found),
            "lists": lambda: lists.measure(played, found, calls=options.list_calls),
            "fleet": lambda: fleet.measure(played, found, connections=options.connections),
            "allowance": lambda: allowance.measure(found, repeat=options.repeat, say=say),
            "scale": lambda: scale.measure(played, found, calls=options.scale_calls),
            "reading": lambda: reading.measure(found, data=options.data, calls=options.calls, say=say),
        }
        machine = report.machine(played.postgres.settings())
        document = report.document(found, machine=machine, sizes=sizes, failed=failed)
        for name in SETS if options.lanes == "all" else (options.lanes,):
            try:
                lanes[name]()
            except LaneFailed as why:
                failed[name] = str(why)
            document = report.document(found, machine=machine, sizes=sizes, failed=failed)
            report.keep(document, file)  # after each: the rest may take an hour, and somebody may end it
    say("\n" + report.text(document))
    for name, reason in failed.items():
        say(f"FAILED: {name}: {reason}")
    say(f"Kept: {file.name}")
    return 1 if failed else 0


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options() -> argparse.ArgumentParser:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "lanes", nargs="?", default="all", choices=("all", *SETS, *ALONE, "draw"), help="what to run (default: all)"
    )
    parser.add_argument("--calls", type=int, default=1_000_000, help="calls of the backfill, of reading (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--rival-calls", type=int, default=300_000, help="calls of the rivals (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=backfill.LANES, metavar="LANE", help="lanes of the backfill only")
    parser.add_argument("--against", nargs="+", choices=peers.NAMES, metavar="RIVAL", help="rivals only (default: all)")
    parser.add_argument("--list-calls", type=int, default=50_000, help="calls of each list (default: %(default)s)")
    parser.add_argument("--scale-calls", type=int, default=10_000_000, help="calls of the long backfill (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=500, help="connections of the fleet (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=default_folder(), help="where files of calls and peers are kept")
    parser.add_argument("--results", type=Path, default=here / "results", help="where the numbers are kept")
    parser.add_argument("--picture", type=Path, default=here.parent / "docs" / "performance.svg", help="what `draw` writes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
