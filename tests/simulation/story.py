"""Draws stories from seeds: what users, the provider, the network and the machine do, step by step."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from random import Random

from etl.sandbox import History
from etl.sandbox.switches import Switches
from tests.acceptance.cast import PROVIDERS, USUAL
from tests.simulation.world import START, World

LOOKBACK = timedelta(hours=2)

LYING = 10_001
"""From this one on, seeds are stories in which lists lie."""

GROWN = 20_001
"""From this one on, also of those in which somebody is forgotten and other agents are named in the settings."""

LIES: tuple[tuple[str, dict[str, object]], ...] = (
    ("total_off", {"by": -1}),
    ("total_off", {"by": 1}),
    ("total_off", {"by": -7}),
    ("total_capped", {"at": 6}),
    ("total_of_page", {}),
    ("total_missing", {}),
    ("page_repeated", {"page": 2}),
    ("page_repeated", {"page": 3}),
    ("endless_next", {}),
    ("clamp", {"size": 2}),
    ("outage_empty", {}),
    ("page_ignored", {}),
    ("cached", {}),
    ("again", {}),
)
"""
What a list may say that is not so: the sandbox's lasting faults (`etl.sandbox.faults`), and two of the way to it.

`cached`: a request may be answered as it was before. `again`: as the one before it was that asked the same list.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing that happens. Numbers mean what `kind` makes of them; an effect is one of the process that a step starts.

    `pass`: time, `minutes`. `calm`: no faults; a sync that must succeed, and what is held must be the truth. `sync`: with the
    faults, kill, stop, meddling and lie named. `set`: `per_page` or `start` (hours before the beginning) of the connection's
    settings, or `lookback` (hours), or how many of the `agents` listed it names (0: none, which means all). `forget`:
    somebody or one call, as `who` chooses. On Postgres also `audit`, `repair` (after `lost` calls were deleted past the
    program) and `replay`.
    """

    kind: str
    minutes: int = 0
    want: str = ""  # "", "full" or "range"
    rate: float = 0.0  # the share of the requests that meet a transient fault
    kill_at: int | None = None  # an effect
    stop_at: int | None = None  # an effect
    takeover_at: int | None = None  # an effect, before which another process takes the connection over
    rival_at: int | None = None  # an effect, before which another process tries to sync the connection too
    forget_at: int | None = None  # an effect, before which another process is to forget somebody
    who: int = 0
    meddling: tuple[tuple[int, str, int], ...] = ()  # (effect, "add" or "delete", which)
    lie: int | None = None  # what lists say that is not so: a place in `LIES`
    per_page: int | None = None
    start: int | None = None
    lookback: int | None = None
    agents: int | None = None
    lost: int = 0

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


def draw(seed: int, provider: str = "", *, users: bool = False) -> Story:
    """
    Return the story of a seed: at this provider, or at one of the first four, which the seed chooses.

    With `users` also what they do that only the real warehouse can.
    """
    chance = Random(f"{seed}:story")
    doing = Random(f"{seed}:users") if users else None
    lies = Random(f"{seed}:lies") if seed >= LYING else None
    grown = Random(f"{seed}:grown") if seed >= GROWN else None
    steps: list[Step] = []
    for _ in range(chance.randint(3, 9)):
        step = _step(chance)
        if lies is not None and step.kind == "sync" and lies.random() < 0.7:
            step = replace(step, lie=lies.randrange(len(LIES)))
        if grown is not None and step.kind == "sync" and grown.random() < 0.2:
            step = replace(step, forget_at=_effect(grown), who=grown.randint(0, 99))
        steps.append(step)
        if grown is not None and grown.random() < 0.4:
            steps.append(_grown(grown))
        if doing is not None and doing.random() < 0.4:
            steps.append(_user(doing))
        if chance.random() < 0.5:
            steps.append(Step(kind="pass", minutes=chance.choice((1, 10, 50, 130, 400, 1500))))
    return Story(
        seed=seed,
        provider=provider or tuple(USUAL)[seed % len(USUAL)],
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
    effect = _effect(chance)
    met = chance.choice(("kill_at", "kill_at", "stop_at", "takeover_at", "rival_at", ""))
    return Step(
        kind="sync",
        want=chance.choice(("", "", "", "full", "range")),
        rate=chance.choice((0.0, 0.0, 0.1, 0.4)),
        meddling=_meddling(chance),
        **({met: effect} if met else {}),
    )


def _grown(chance: Random) -> Step:
    if chance.random() < 0.3:
        return Step(kind="set", agents=chance.choice((0, 0, 1, 1, 2)))
    met = chance.choice(("kill_at", "kill_at", "stop_at", "takeover_at", "rival_at", "", "", ""))
    return Step(kind="forget", who=chance.randint(0, 99), **({met: _effect(chance)} if met else {}))


def _user(chance: Random) -> Step:
    roll = chance.random()
    if roll < 0.15:
        return Step(kind="set", lookback=chance.choice((2, 3, 26)))
    effect = _effect(chance)
    met = chance.choice(("kill_at", "kill_at", "stop_at", "takeover_at", "rival_at", "", "", ""))
    kind = chance.choice(("audit", "repair", "repair", "replay"))
    lost = chance.choice((0, 0, 1, 4)) if kind == "repair" else 0
    rate = chance.choice((0.0, 0.0, 0.1))
    return Step(kind=kind, lost=lost, rate=rate, meddling=_meddling(chance), **({met: effect} if met else {}))


def _effect(chance: Random) -> int:
    return int(2 ** (chance.random() * 8))


def _meddling(chance: Random) -> tuple[tuple[int, str, int], ...]:
    return tuple(
        (_effect(chance), chance.choice(("add", "add", "delete")), chance.randint(0, 30))
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
