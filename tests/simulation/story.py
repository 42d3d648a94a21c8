"""Draws stories from seeds: what users, the provider, the network and the machine do, step by step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from random import Random

from etl.sandbox import History
from etl.sandbox.switches import Switches
from tests.acceptance.cast import PROVIDERS, USUAL
from tests.simulation.world import START, World

LOOKBACK = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing that happens. Numbers mean what `kind` makes of them; an effect is one of the process that a step starts.

    `pass`: time, `minutes`. `calm`: no faults; a sync that must succeed, and what is held must be the truth. `sync`: with the
    faults, kill, stop and meddling named. `set`: `per_page` or `start` (hours before the beginning) of the connection's settings.
    """

    kind: str
    minutes: int = 0
    want: str = ""  # "", "full" or "range"
    rate: float = 0.0  # the share of the requests that meet a transient fault
    kill_at: int | None = None  # an effect
    stop_at: int | None = None  # an effect
    takeover_at: int | None = None  # an effect, before which another process takes the connection over
    rival_at: int | None = None  # an effect, before which another process tries to sync the connection too
    meddling: tuple[tuple[int, str, int], ...] = ()  # (effect, "add" or "delete", which)
    per_page: int | None = None
    start: int | None = None

    def words(self) -> str:
        """Return the step without what it does not do."""
        said = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return " ".join([said.pop("kind"), *(f"{name}={value!r}" for name, value in said.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A world's seed and size, and what happens in it."""

    seed: int
    provider: str
    past: timedelta
    calls_per_day: int
    per_page: int
    off: timedelta
    steps: tuple[Step, ...]

    def world(self) -> World:
        """Return the world as it is before the first step."""
        rates = dict.fromkeys(PROVIDERS, 0) | {self.provider: self.calls_per_day}
        history = History(
            self.seed,
            start=START,
            past=self.past,
            calls_per_day=rates,
            lateness={self.provider: LOOKBACK * 0.75},
            agents=1 + self.seed % 3,
            agent_changes=(0.3, 0.3, 0.1) if self.seed % 2 else (0, 0, 0),
            may_pass_real_time=True,
        )
        return World(self.seed, self.provider, history, switches=_switches(Random(f"{self.seed}:switches")), off=self.off)


def draw(seed: int, provider: str = "") -> Story:
    """Return the story of a seed: at this provider, or at one of the first four, which the seed chooses."""
    chance = Random(f"{seed}:story")
    provider = provider or tuple(USUAL)[seed % len(USUAL)]
    steps: list[Step] = []
    for _ in range(chance.randint(3, 9)):
        steps.append(_step(chance))
        if chance.random() < 0.5:
            steps.append(Step(kind="pass", minutes=chance.choice((1, 10, 50, 130, 400, 1500))))
    return Story(
        seed=seed,
        provider=provider,
        past=timedelta(hours=chance.choice((3, 12, 40))),
        calls_per_day=chance.choice((4, 15, 40, 90)),
        per_page=chance.choice((2, 3, 5, 10, 20)),
        off=timedelta(seconds=chance.choice((1, 1, 1, 0, 30, -30))),
        steps=(*steps, Step(kind="calm")),
    )


def _step(chance: Random) -> Step:
    roll = chance.random()
    if roll < 0.2:
        return Step(kind="calm")
    if roll < 0.3:
        return Step(kind="set", per_page=chance.choice((2, 3, 7, 20)))
    if roll < 0.36:
        return Step(kind="set", start=chance.choice((1, 5, 20, 80)))
    effect = int(2 ** (chance.random() * 8))
    met = chance.choice(("kill_at", "kill_at", "stop_at", "takeover_at", "rival_at", ""))
    return Step(
        kind="sync",
        want=chance.choice(("", "", "", "full", "range")),
        rate=chance.choice((0.0, 0.0, 0.1, 0.4)),
        meddling=_meddling(chance),
        **({met: effect} if met else {}),
    )


def _meddling(chance: Random) -> tuple[tuple[int, str, int], ...]:
    return tuple(
        (int(2 ** (chance.random() * 8)), chance.choice(("add", "add", "delete")), chance.randint(0, 30))
        for _ in range(chance.choice((0, 0, 1, 3)))
    )


def _switches(chance: Random) -> Switches:
    switches = Switches()
    switches.set(
        "bimpe", {"order": chance.choice(("newest_first", "oldest_first")), "sortable": chance.choice(("created_on", "nothing"))}
    )
    switches.set("salpre", {"page": "honoured", "detail_id": chance.choice(("integer", "as_listed", "both"))})
    switches.set("krosai", {"dialect": chance.choice(("reference", "guide"))})
    filters = chance.choice(("honoured", "honoured", "honoured", "ignored"))
    switches.set("twilio", {"until": chance.choice(("exclusive", "inclusive")), "filters": filters})
    return switches
