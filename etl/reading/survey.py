"""What a few small requests show of an account before anything is synced: whose it is, how much there is, and how it pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from etl.errors import NothingUsable
from etl.model import AgentRow, Record
from etl.provider import CALLS, Agents, Ask
from etl.reading.api import Answer
from etl.reading.clocks import Apart
from etl.reading.orders import way_of
from etl.reading.source import Capabilities, Pager, Source
from etl.records.identify import identify
from etl.records.misfit import needed
from etl.records.parse import Unfit, identifier
from etl.records.reach import reacher

ASKED_AGENTS = 5
"""Of this many agents the calls are looked at, where each has a list of its own."""


class Survey(NamedTuple):
    """What was found out; None for what the provider did not tell. `calls` are those of `asked` of the `agents`."""

    owner: str | None
    agents: int | None
    asked: int
    calls: int | None
    oldest: datetime | None
    newest: datetime | None
    paging: str | None
    pages_work: bool | None
    apart: Apart | None


def survey(source: Source, *, since: datetime | None, until: datetime, only: Collection[str] | None = None) -> Survey:
    """
    Look at an account: at most four requests, and where agents have lists of their own one for them and as many for each asked.

    Raises NothingUsable where a page holds records, but none that could become a call, or an agent.
    """
    agents, way = source.provider.agents, way_of(source.provider)
    streams, known, apart = [CALLS], None, None
    if agents is not None:
        answer = source.api.get_list(
            source.path(agents.path), agents.params(Ask(number=1, size=agents.page_size)), agents.records
        )
        apart = Apart.between(answer.date, answer.sent_at)
        listed = [agent.agent_id for agent in _agents(source, agents, answer)]
        facts = agents.facts(answer.fields, answer.headers)
        known = len(listed) if facts.total is None and not facts.more else facts.total
        streams = [one for one in listed if only is None or one in only][:ASKED_AGENTS]
    found = []
    for stream in streams:
        pager = Pager(source, stream=stream, found=Capabilities(), per_page=1)
        found.append(way.extent(pager, since=since, until=until))
        _check_calls(source, found[-1].records)
    return Survey(
        owner=_owner(source, [record for one in found for record in one.records]),
        agents=known,
        asked=len(streams),
        calls=None if any(one.calls is None for one in found) else sum(one.calls or 0 for one in found),
        oldest=min((one.oldest for one in found if one.oldest is not None), default=None),
        newest=max((one.newest for one in found if one.newest is not None), default=None),
        paging=next((one.style for one in found), None),
        pages_work=_all_of(one.pages_work for one in found),
        apart=apart or (source.apart[1] if source.apart is not None else None),
    )


def _all_of(found: Iterable[bool | None]) -> bool | None:
    """Whether all pages work, of which that is known."""
    known = [one for one in found if one is not None]
    return all(known) if known else None


def _owner(source: Source, records: Iterable[Record]) -> str | None:
    """Return the id of the organisation that the calls belong to: never a person's."""
    if source.provider.organization is None:
        return None
    reach = reacher(source.provider.organization)
    for record in records:
        try:
            owner = identifier(reach(record.value, None))
        except Unfit:
            continue
        if owner is not None:
            return owner
    return None


def _check_calls(source: Source, records: Iterable[Record]) -> None:
    reasons = [record.rejection for record in records]
    if reasons and all(reason is not None for reason in reasons):
        words = ", ".join(sorted({reason.value for reason in reasons if reason is not None}))
        raise NothingUsable(
            f"the provider lists calls, but what it shows could not become one ({words}).",
            safe="Nothing was stored.",
            hint=f"{needed(source.provider)} Check base_url, and ask the provider what has changed.",
        )


def _agents(source: Source, agents: Agents, answer: Answer) -> list[AgentRow]:
    """Return the agents of an answer. Raises NothingUsable if nothing that it shows is one."""
    values = [identify(source.provider, text, cleaned=False).value for text in answer.records]
    found = [agent for value in values if (agent := agents.agent(value)) is not None]
    if values and not found:
        raise NothingUsable(
            "the provider lists agents, but what it shows could not become one.",
            safe="Nothing was stored.",
            hint="An agent must be an object with an id. Check base_url, and ask the provider what has changed.",
        )
    return found
