"""A slice of the simulation: in no story does the program lose, double, invent or claim anything that it should not."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from etl.warehouse.database import Database
from tests.acceptance.cast import PROVIDERS, USUAL
from tests.simulation.play import Play
from tests.simulation.smaller import broken_by, smallest
from tests.simulation.story import GROWN, LYING, draw

FIRST = int(os.environ.get("ETL_TEST_FIRST_SEED", "1"))
SEEDS = 90
TOGETHER = 10


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, TOGETHER))
def test_whatever_happens_in_a_story_what_must_hold_holds(first: int) -> None:
    """`python -m tests.simulation --seed N` tells the story of a seed that fails."""
    _play(range(first, first + TOGETHER))


@pytest.mark.parametrize("first", [LYING, LYING + 5])
def test_whatever_lists_say_what_must_hold_holds(first: int) -> None:
    """Totals that are wrong, capped or missing; pages in the place of others; answers that are old, or another request's."""
    _play(range(first, first + 5))


def test_who_was_forgotten_is_gone_and_stays_so_whatever_happens() -> None:
    """Persons and single calls, by commands that are killed and met; also with other agents in the settings."""
    _play(range(GROWN, GROWN + 5))


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name not in USUAL])
def test_it_holds_of_the_other_providers_too(provider: str) -> None:
    """With windows, tokens and filters that are ignored; of these the simulator plays more by `--provider`."""
    _play(range(FIRST, FIRST + TOGETHER), provider)


@pytest.mark.parametrize("seed", [FIRST, GROWN + 1])
def test_what_holds_in_memory_holds_on_postgres(database: Database, seed: int) -> None:
    """With what users do besides: audits, repairs of what was lost, replays. `--postgres` plays more of them."""
    story = draw(seed, users=True)
    broken = broken_by(story, play=lambda one: Play(one, database=database))

    assert broken is None, (seed, broken)


def _play(seeds: Iterable[int], provider: str = "") -> None:
    for seed in seeds:
        story = draw(seed, provider)
        broken = broken_by(story)
        assert broken is None, (seed, *smallest(story, broken))


def test_a_story_is_the_same_whenever_it_is_played() -> None:
    """Else no seed could be played again."""
    plays = [Play(draw(1200)) for _ in range(2)]
    for play in plays:
        play.play()

    assert plays[0].log == plays[1].log
    assert plays[0].under.calls() == plays[1].under.calls()
