"""After any number of evolution steps, each followed by a sync, the warehouse holds what lives at the providers."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from etl.runs.terms import RunStatus
from etl.sandbox import History
from tests.acceptance.cast import PROVIDERS, per_day
from tests.acceptance.conftest import SetStage
from tests.acceptance.expected import differences, expected_calls, expected_participants, held_calls, held_participants
from tests.acceptance.stage import START, Stage

RATES = per_day(40, tuple=125, salpre=30, krosai=45)
STEPS = tuple(timedelta(minutes=minutes) for minutes in (1, 7, 45, 130, 600, 1800, 4320))
PAGES = dict.fromkeys(PROVIDERS, 10) | {"tuple": 20, "bimpe": 8, "salpre": 8}


def evolve(stage: Stage, *, seed: int, steps: int) -> None:
    """Sync, compare, let time pass, so many times."""
    story = random.Random(seed)
    stage.providers = PROVIDERS
    listed: dict[str, set[str]] = {provider: set() for provider in PROVIDERS}
    for number in range(steps):
        print(f"seed {seed}, step {number}, {stage.history.now.isoformat()}")  # noqa: T201 - shown with a failure
        outcomes = stage.sync_all()
        assert {name: (outcome.status, outcome.error) for name, outcome in outcomes.items()} == dict.fromkeys(
            PROVIDERS, (RunStatus.SUCCEEDED, None)
        )
        for provider in PROVIDERS:
            expected, held = expected_calls(stage, provider), held_calls(stage, provider)
            listed[provider] |= set(expected)
            assert differences(expected, held) == {}
            assert set(held) - listed[provider] == set()
            assert stage.rejects(provider) == []
            assert stage.drift(provider) == []
        living = stage.truth_ids("tuple")
        assert held_participants(stage, living) == expected_participants(stage, living)
        stage.history.advance(story.choice(STEPS))


@pytest.mark.parametrize("seed", [1])
def test_every_field_is_as_the_provider_has_it(set_stage: SetStage, seed: int) -> None:
    """Calls appear late, change, vanish, last for days; agents come and go; every list record's fields are held as they are."""
    stage = set_stage(History(seed, start=START, past=timedelta(days=3), calls_per_day=RATES))
    stage.settings = {provider: {"per_page": size} for provider, size in PAGES.items()}

    evolve(stage, seed=seed, steps=8)


@pytest.mark.parametrize("seed", [12])
def test_every_field_is_as_the_provider_has_it_though_every_tenth_request_fails(set_stage: SetStage, seed: int) -> None:
    """The same while a tenth of the requests meets a fault that goes away: cut, truncated, refused, HTML, throttled, slow."""
    stage = set_stage(History(seed, start=START, past=timedelta(days=2), calls_per_day=RATES))
    stage.settings = {provider: {"per_page": size} for provider, size in PAGES.items()}
    stage.sandbox.faults.mix(0.1)

    evolve(stage, seed=seed, steps=6)


@pytest.mark.parametrize("seed", [21])
def test_every_field_is_as_the_provider_has_it_with_the_largest_pages(set_stage: SetStage, seed: int) -> None:
    """The same as configured out of the box, with agents that come and go every day."""
    stage = set_stage(History(seed, start=START, past=timedelta(days=2), calls_per_day=RATES, agent_changes=(2, 2, 1)))

    evolve(stage, seed=seed, steps=8)
