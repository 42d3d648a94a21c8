"""A slice of the simulation: in no story does the program lose, double, invent or claim anything that it should not."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.cast import PROVIDERS, USUAL
from tests.simulation.play import Play
from tests.simulation.smaller import broken_by, smallest
from tests.simulation.story import draw

FIRST = int(os.environ.get("ETL_TEST_FIRST_SEED", "1"))
SEEDS = 100
TOGETHER = 10


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, TOGETHER))
def test_whatever_happens_in_a_story_what_must_hold_holds(first: int) -> None:
    """`python -m tests.simulation --seed N` tells the story of a seed that fails."""
    for seed in range(first, first + TOGETHER):
        story = draw(seed)
        broken = broken_by(story)
        assert broken is None, (seed, *smallest(story, broken))


@pytest.mark.parametrize("provider", [name for name in PROVIDERS if name not in USUAL])
def test_it_holds_of_the_other_providers_too(provider: str) -> None:
    """With windows, tokens and filters that are ignored; of these the simulator plays more by `--provider`."""
    for seed in range(FIRST, FIRST + TOGETHER):
        story = draw(seed, provider)
        broken = broken_by(story)
        assert broken is None, (seed, *smallest(story, broken))


def test_a_story_is_the_same_whenever_it_is_played() -> None:
    """Else no seed could be played again."""
    plays = [Play(draw(1200)) for _ in range(2)]
    for play in plays:
        play.play()

    assert plays[0].log == plays[1].log
    assert plays[0].warehouse.entries(plays[0].account.connection) == plays[1].warehouse.entries(plays[1].account.connection)
