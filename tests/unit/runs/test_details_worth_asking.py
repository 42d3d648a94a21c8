"""A detail is asked for where it may bring something: always, of what is late, or only of calls that have not ended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl.provider import Detail, When
from etl.records.asking import is_worth_asking
from tests.memory.acme import ACME, at, call
from tests.unit.runs.scene import HOUR, Scene, codes

DETAIL = ACME.detail
assert DETAIL is not None


def scene_of(when: When) -> Scene:
    """Return a scene with a call in progress, one that was busy, one whose transcript is listed and one whose is not."""
    detail = Detail(path=DETAIL.path, record=DETAIL.record, id_forms=DETAIL.id_forms, when=when)
    scene = Scene(replace(ACME, name=f"acme_{when}", detail=detail))
    calls = (
        call("open", -10, status="talking", ended=None),
        call("busy", -20, status="busy"),
        call("whole", -30, transcript="words"),
        call("late", -40),
    )
    for one in calls:
        scene.add(one)
        scene.api.details[one["id"]] = dict(one)
    return scene


@pytest.mark.parametrize(
    ("when", "first", "second"),
    [
        (When.ALWAYS, ["open", "busy", "whole", "late"], ["open", "late"]),
        (When.LATE, ["open", "late"], ["open", "late"]),
        (When.OPEN, ["open"], ["open"]),
    ],
)
def test_details_are_asked_for_where_they_may_bring_something(when: When, first: list[str], second: list[str]) -> None:
    """In the run that lists the calls, and in the next one, as long as nothing changes."""
    scene = scene_of(when)

    outcome = scene.sync()
    assert (scene.api.asked(), codes(outcome)) == (first, [])
    scene.later(HOUR / 6)
    scene.sync()
    assert scene.api.asked() == second


@pytest.mark.parametrize("when", list(When))
def test_a_call_is_followed_until_it_ends_however_little_details_bring(when: When) -> None:
    """By its detail, also where no list shows it any more; then it is done with, but for what is late."""
    scene = scene_of(when)
    scene.sync()
    scene.api.details["open"].update(status="busy", ended=at(5).isoformat())
    scene.later(HOUR / 6)

    scene.sync()

    assert scene.calls["open"].status == "busy"
    assert "open" not in scene.dues()


def test_what_is_late_may_come_with_either_record() -> None:
    """A list that never ends growing is always late."""
    provider = replace(ACME, detail=replace(DETAIL, when=When.LATE), late_parts=("transcript", "log"))
    whole = {"transcript": "words"}, {"log": "words"}
    assert not is_worth_asking(provider, "completed", *whole)
    assert is_worth_asking(provider, "completed", whole[0])
    assert is_worth_asking(provider, "completed", whole[0], {"log": ["words"]})
    assert not is_worth_asking(provider, "failed", {})
    assert is_worth_asking(provider, "unknown", *whole)
