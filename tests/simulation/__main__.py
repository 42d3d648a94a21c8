"""
Plays the stories of many seeds, and adds up in a file what came of them.

    python -m tests.simulation 20000 --results simulation.jsonl     seeds 1 to 20000; those in the file are not played again
    python -m tests.simulation --seed 1216                          one story, told step by step
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.cast import PROVIDERS
from tests.simulation.invariants import Broken
from tests.simulation.many import RANGE, play_range
from tests.simulation.play import Play
from tests.simulation.smaller import smallest
from tests.simulation.story import draw


def tell(seed: int, provider: str) -> bool:
    """Play one story and tell it; of one that breaks something, its smallest form. Return whether all held."""
    story = draw(seed, provider)
    play = Play(story)
    try:
        play.play()
    except Broken as broken:
        story, broken = smallest(story, broken)
        _say(f"seed {seed} breaks: {broken.args[0]}", *(str(found) for found in broken.args[1:]), "", "The smallest such story:")
        _say(
            f"  {story.provider}, {story.calls_per_day} calls a day over {story.past}, {story.per_page} a page, clock {story.off}"
        )
        _say(*(f"  {step.words()}" for step in story.steps))
        return False
    _say(*play.log, f"seed {seed}: everything holds")
    return True


def play_all(seeds: int, *, provider: str, results: Path | None, jobs: int) -> bool:
    """Play the stories of the seeds 1 to `seeds` that are not in `results` yet; return whether all held."""
    known = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    firsts = set(range(1, seeds + 1, RANGE))
    found = [one for one in known if one["first"] in firsts]
    todo = sorted(firsts - {one["first"] for one in found})
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for one in pool.imap_unordered(partial(play_range, provider=provider), todo):
            found.append(one)
            _say(*(f"seed {failure['seed']} breaks: {failure['broken']}" for failure in one["failed"]))
            if results:
                with results.open("a") as file:
                    file.write(json.dumps(one) + "\n")
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
    parser.add_argument("seeds", type=int, nargs="?", default=200, help="play the seeds 1 to this number (default: 200)")
    parser.add_argument("--seed", type=int, help="play this seed alone, and tell its story")
    parser.add_argument("--results", type=Path, help="add the results to this file, and do not play again what stands in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to play in")
    parser.add_argument("--provider", default="", choices=PROVIDERS, help="play all at this one; else at one of the first four")
    given = parser.parse_args()
    if given.seed is not None:
        return int(not tell(given.seed, given.provider))
    return int(not play_all(given.seeds, provider=given.provider, results=given.results, jobs=given.jobs))


if __name__ == "__main__":
    sys.exit(main())
