"""Which relations can be exported, and by which column the rows of each belong to a month."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from etl.errors import UsageError

PEOPLES = "public"
MASKED = "masked"


class Relation(NamedTuple):
    """
    A table or view of the analysts' schema.

    `unit` is the column of a date by which its rows belong to a month. Of `follows_calls` the rows of a month change with its
    calls alone, and with the agents' names where it `names_agents`. Children (`of_call`) have no day: their call's counts.
    """

    name: str
    unit: str = "day"
    follows_calls: bool = False
    names_agents: bool = False
    of_call: bool = False
    order: tuple[str, ...] = ()


class Part(NamedTuple):
    """The rows of one connection and month, given by its first day: what a file holds."""

    connection: str
    month: date

    @property
    def after(self) -> date:
        """The first day of the next month."""
        return date(self.month.year + self.month.month // 12, self.month.month % 12 + 1, 1)


CALLS = Relation("calls", follows_calls=True, names_agents=True, order=("occurred_at", "call_id"))
AGENT_DAILY = Relation("agent_daily")

DEFAULT = (
    Relation("call_facts", follows_calls=True, names_agents=True, order=("occurred_at", "call_id")),
    Relation("call_participants", follows_calls=True, of_call=True, order=("call_id", "participant_id")),
    Relation("calls_daily"),
    AGENT_DAILY,
    Relation("calls_hourly"),
    Relation("lines_hourly"),
    Relation("talk_time_daily"),
    Relation("talk_time_monthly", unit="month"),
    Relation("person_daily"),
    Relation("pair_weekly", unit="week"),
)
"""What is exported where nothing is named."""

ON_DEMAND = (
    CALLS,
    Relation("call_messages", follows_calls=True, of_call=True, order=("call_id", "position", "message_id")),
    Relation("call_events", follows_calls=True, of_call=True, order=("call_id", "position", "event_id")),
)

KNOWN = {relation.name: relation for relation in (*DEFAULT, *ON_DEMAND)}


def chosen(names: Iterable[str]) -> list[Relation]:
    """Return these relations, without names those of the default. Raises UsageError for one that cannot be exported."""
    wanted = set(names)
    if unknown := sorted(wanted - set(KNOWN)):
        raise UsageError(
            f"There is no export of {', '.join(unknown)}.",
            safe="Nothing was written.",
            hint=f"These relations can be exported: {', '.join(KNOWN)}.",
        )
    return [relation for relation in KNOWN.values() if relation.name in wanted] if wanted else list(DEFAULT)
