"""Knows who stands on the stage: each provider, its connection, and what of its API the tests must know. A new one is a line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A provider as the tests know it.

    `page` is how the path of a page of calls ends; `id`, `cursor` and `duration` are keys of a record, `cursor_else` those that
    stand in for the cursor. `totals`: whether the list says how many calls there are. `ascending`: whether it is filtered and
    sorted by the cursor. `tokens`: whether a page names the next one by a token, so that none has a number, and days are what is
    filtered by. `late_parts`: whether a detail tells what the list does not. `underway`: the word for a call that goes on; None
    where only calls that are over are listed.
    """

    name: str
    cursor: str
    cursor_else: tuple[str, ...] = ()
    page: str = "/calls"
    id: str = "id"
    duration: str = "duration"
    totals: bool = True
    ascending: bool = False
    tokens: bool = False
    late_parts: bool = True
    underway: str | None = "in_progress"
    title: str

    @property
    def cursors(self) -> tuple[str, ...]:
        """All keys that the cursor may be read from."""
        return (self.cursor, *self.cursor_else)


CAST = {
    "tuple": Part(
        name="pairing",
        title="Tuple",
        page="/call_usage",
        cursor="ended_at",
        duration="duration_seconds",
        ascending=True,
        late_parts=False,
        underway=None,
    ),
    "bimpe": Part(name="voice", title="BimpeAI", cursor="created_on", duration="duration_seconds", underway="answered"),
    "salpre": Part(
        name="devices",
        title="Salpre",
        page="/call/list",
        id="call_id",
        cursor="started_at",
        duration="duration_sec",
        totals=False,
    ),
    "krosai": Part(name="telephony", title="KrosAI", cursor="created_at"),
    "aircall": Part(name="support", title="Aircall", cursor="started_at", ascending=True, late_parts=False, underway="answered"),
    "twilio": Part(
        name="programmable",
        title="Twilio",
        page="/Calls.json",
        id="sid",
        cursor="start_time",
        cursor_else=("date_created",),
        totals=False,
        tokens=True,
        late_parts=False,
        underway="in-progress",
    ),
}

PROVIDERS = tuple(CAST)

NAMES = {provider: part.name for provider, part in CAST.items()}
"""The connection at each of them."""

USUAL = {provider: NAMES[provider] for provider in PROVIDERS[:4]}
"""
The connections that stand on a stage and in a configuration of which a test says nothing else: what commands, pages, workers and
integrations do with several connections depends on no provider. What must hold for every provider is asked of `PROVIDERS`.
"""

COUNTED = tuple(provider for provider, part in CAST.items() if part.totals)
NEWEST_FIRST = tuple(provider for provider in PROVIDERS if not CAST[provider].ascending)
WITH_DETAIL = tuple(provider for provider, part in CAST.items() if part.late_parts)
"""Those whose details tell what their lists do not."""

FOLLOWED = tuple(provider for provider in PROVIDERS if CAST[provider].underway)
"""Those whose open calls are asked for by their ids."""


def per_day(rate: float = 20.0, **rates: float) -> dict[str, float]:
    """Return so many calls a day of those that are named, and `rate` of the others."""
    return dict.fromkeys(PROVIDERS, rate) | rates
