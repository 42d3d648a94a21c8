"""Makes a story that breaks an invariant smaller, for as long as it breaks the same one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.broken import Broken
from tests.simulation.play import Play
from tests.simulation.story import Step, Story


def broken_by(story: Story, *, play: Callable[[Story], Play] = Play) -> Broken | None:
    """Play a story; return what it breaks, None if nothing."""
    try:
        play(story).play()
    except Broken as broken:
        return broken
    return None


def smallest(story: Story, broken: Broken, *, play: Callable[[Story], Play] = Play) -> tuple[Story, Broken]:
    """Return a story without anything that can be left out, and what it breaks: the same invariant."""
    while True:
        for simpler in _simpler(story):
            found = broken_by(simpler, play=play)
            if found is not None and found.args[0] == broken.args[0]:
                story, broken = simpler, found
                break
        else:
            return story, broken


def _simpler(story: Story) -> Iterator[Story]:
    """Yield what is simpler by one thing: a step, a fault, a meddling, a setting."""
    for place in reversed(range(len(story.steps))):
        yield replace(story, steps=story.steps[:place] + story.steps[place + 1 :])
    for place, step in enumerate(story.steps):
        for less in _less(step):
            yield replace(story, steps=(*story.steps[:place], less, *story.steps[place + 1 :]))


def _less(step: Step) -> Iterator[Step]:
    if step.rate:
        yield replace(step, rate=0.0)
    if step.lost:
        yield replace(step, lost=0)
    if step.want:
        yield replace(step, want="")
    for place in range(len(step.meddling)):
        yield replace(step, meddling=step.meddling[:place] + step.meddling[place + 1 :])
    for name in ("kill_at", "stop_at", "takeover_at", "rival_at", "forget_at", "lie"):
        if getattr(step, name) is not None:
            yield replace(step, **{name: None})
