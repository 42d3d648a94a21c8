"""
Knows the lanes of the rivals: each loads the same calls in each round, with ours and straight COPY beside them at their size.

They get fewer calls than our own lanes, lest most of the time of a run goes by waiting for them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from benchmarks import peers
from benchmarks.bench import Found, Stage
from benchmarks.dataset import lasting
from benchmarks.lanes import backfill
from benchmarks.serving import pages

BESIDE = {"ours": "ours_beside", "copy": "copy_beside"}
"""Lanes of the backfill that run beside the rivals, and their names there."""

LANES = (*BESIDE.values(), *peers.NAMES)


def measure(stage: Stage, found: Found, *, calls: int, names: Sequence[str] = peers.NAMES) -> None:
    """Add the samples of ours, of COPY and of each rival, one for each round; a rival that cannot run has one with its reason."""
    with pages(lasting("tuple", calls), folder=stage.data) as served:
        rivals = [peers.Peer(stage, served, name, calls) for name in names]
        for number in range(stage.repeat):
            stage.say(f"rivals with {calls:,} Tuple calls, round {number + 1} of {stage.repeat}")
            beside = Found(list)
            backfill.play(stage, served, beside, calls=calls, lanes=tuple(BESIDE))
            for lane, samples in beside.items():
                found[BESIDE[lane]] += samples
            for rival in rivals:
                found[rival.name].append(rival.measure())
    shutil.rmtree(stage.scratch / "finished", ignore_errors=True)
