"""
Plays the stories of many seeds, and adds up in a file what came of them.

    python -m tests.simulation 20000 --results simulation.jsonl     seeds 1 to 20000; those in the file are not played again
    python -m tests.simulation 5000 --first 10001                   seeds 10001 to 15000
    python -m tests.simulation 100 --postgres                       with the real warehouse underneath
    python -m tests.simulation --seed 1216                          one story, told step by step
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.cast import PROVIDERS
from tests.simulation.broken import Broken
from tests.simulation.many import RANGE, RANGE_ON_POSTGRES, Place, a_place, play_range, play_seed, warehouse_in
from tests.simulation.on_postgres import emptied
from tests.simulation.play import Play
from tests.simulation.smaller import smallest
from tests.simulation.story import Story


def tell(seed: int, provider: str, *, place: Place | None = None) -> bool:
    """Play one story and tell it; of one that breaks something, its smallest form. Return whether all held."""
    play = play_seed(seed, place, provider)
    story = play.story
    try:
        play.play()
    except Broken as broken:
        _say(*play.log)
        story, broken = smallest(story, broken, play=lambda one: _played(one, place))
        _say(f"seed {seed} breaks: {broken.args[0]}", *(str(found) for found in broken.args[1:]), "", "The smallest such story:")
        _say(
            f"  {story.provider}, {story.calls_per_day} calls a day over {story.past}, {story.per_page} a page, clock {story.off}"
        )
        _say(*(f"  {step.words()}" for step in story.steps))
        return False
    _say(*play.log, f"seed {seed}: everything holds")
    return True


def _played(story: Story, place: Place | None) -> Play:
    if place is None:
        return Play(story)
    database = warehouse_in(place)
    emptied(database)
    return Play(story, database=database)


def play_all(
    seeds: int,
    *,
    first: int = 1,
    provider: str,
    results: Path | None,
    jobs: int,
    until_broken: bool = False,
    place: Place | None = None,
) -> bool:
    """Play the stories of so many seeds from `first` on that are not in `results` yet; return whether all held."""
    known = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    on, number = ("memory", RANGE) if place is None else ("postgres", RANGE_ON_POSTGRES)
    firsts = set(range(first, first + seeds, number))
    found = [one for one in known if one["first"] in firsts and one.get("on", "memory") == on]
    todo = sorted(firsts - {one["first"] for one in found})
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for one in pool.imap_unordered(partial(play_range, number=number, place=place, provider=provider), todo):
            found.append(one)
            _say(*(f"seed {failure['seed']} breaks: {failure['broken']}" for failure in one["failed"]))
            if results:
                with results.open("a") as file:
                    file.write(json.dumps(one) + "\n")
            if until_broken and one["failed"]:
                break
    _say(*_sums(found))
    return not any(one["failed"] for one in found)


def _sums(found: list[dict[str, Any]]) -> Iterator[str]:
    sums = {name: sum(one[name] for one in found) for name in ("seeds", "processes", "effects", "requests", "seconds")}
    failed = sum(len(one["failed"]) for one in found)
    yield (
        f"{sums['seeds']:,} stories, {failed} broken; {sums['processes']:,} processes, {sums['requests']:,} requests, "
        f"{sums['effects']:,} effects; {sums['seconds'] / max(sums['seeds'], 1):.3f} s of processor time a story"
    )


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Play the stories of many seeds.")
    parser.add_argument("seeds", type=int, nargs="?", default=200, help="how many seeds to play (default: 200)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default: 1); what seeds mean: story.py")
    parser.add_argument("--seed", type=int, help="play this seed alone, and tell its story")
    parser.add_argument("--results", type=Path, help="add the results to this file, and do not play again what stands in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to play in")
    parser.add_argument("--provider", default="", choices=PROVIDERS, help="play all at this one; else at one of the first four")
    parser.add_argument("--postgres", action="store_true", help="with the real warehouse underneath, and what users do")
    parser.add_argument("--until-broken", action="store_true", help="end where a story breaks something")
    given = parser.parse_args()
    with a_place() if given.postgres else nullcontext() as place:
        if given.seed is not None:
            return int(not tell(given.seed, given.provider, place=place))
        all_held = play_all(
            given.seeds,
            first=given.first,
            provider=given.provider,
            results=given.results,
            jobs=given.jobs,
            until_broken=given.until_broken,
            place=place,
        )
    return int(not all_held)


if __name__ == "__main__":
    sys.exit(main())
