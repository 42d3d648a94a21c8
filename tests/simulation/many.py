"""Plays the stories of a range of seeds in a process of its own."""

from __future__ import annotations

import time
from typing import Any

from tests.simulation.invariants import Broken
from tests.simulation.play import Play
from tests.simulation.story import draw

RANGE = 50
"""How many seeds are played and written down together."""


def play_range(first: int, provider: str = "") -> dict[str, Any]:
    """Play the stories of `RANGE` seeds; return what the results file keeps of them."""
    began, failed = time.process_time(), []
    done = {"processes": 0, "effects": 0, "requests": 0}
    for seed in range(first, first + RANGE):
        play = Play(draw(seed, provider))
        try:
            play.play()
        except Broken as broken:
            failed.append({"seed": seed, "broken": broken.args[0]})
        done["processes"] += play.processes
        done["effects"] += play.effects
        done["requests"] += play.requests
    return {"first": first, "seeds": RANGE, "failed": failed, "seconds": round(time.process_time() - began, 3), **done}
