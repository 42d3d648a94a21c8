"""The request that shows whether a credential is accepted, what the provider counts, and whether it can be read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from etl.coverage import ORIGIN
from etl.errors import NothingUsable
from etl.model import AgentRow
from etl.provider import CALLS, Agents, Ask
from etl.reading.api import Answer
from etl.reading.clocks import Apart
from etl.reading.orders import way_of
from etl.reading.source import Source
from etl.records.identify import identify
from etl.records.misfit import needed


class Probed(NamedTuple):
    """What the provider counts (a day, all calls, agents; None: nothing), and how its clock differs from ours."""

    counts: str | None
    apart: Apart | None


def probe(source: Source, *, until: datetime, span: timedelta) -> Probed:
    """
    Ask for the smallest page that needs the credential; if it shows no record, for one of all calls there ever were.

    Where calls are listed by agent, that is a page of agents, and one of the first agent's calls.
    Raises NothingUsable where a page holds records, but none that could become a call, or an agent.
    """
    provider = source.provider
    agents, listing = provider.agents, provider.listing
    if agents is not None:
        answer = source.api.get_list(source.path(agents.path), agents.params(Ask(number=1, size=1)), agents.records)
        if (agent := _first_agent(source, agents, answer)) is not None:
            _check_calls(source, _newest_call(source, agent))
        total = agents.facts(answer.fields, answer.headers).total
        counts = f"{total:,} agent{'' if total == 1 else 's'}" if total is not None else None
        return Probed(counts, Apart.between(answer.date, answer.sent_at))
    way = way_of(provider)
    ask = way.probe(until=until, span=span)
    answer = source.listed(stream=CALLS, style=listing.styles[0], ask=ask)
    _check_calls(source, answer)
    total = listing.facts(answer.fields, answer.headers).total
    counts = None if total is None else f"{total:,} {way.probed}"
    if not answer.records and (wide := way.probe(until=until, span=until - ORIGIN)) != ask:
        whole = source.listed(stream=CALLS, style=listing.styles[0], ask=wide)
        _check_calls(source, whole)
        total = listing.facts(whole.fields, whole.headers).total
        counts = counts if total is None else f"{counts}, {total:,} before that" if counts else f"{total:,} calls"
    return Probed(counts, Apart.between(answer.date, answer.sent_at))


def _check_calls(source: Source, answer: Answer) -> None:
    provider = source.provider
    records = [identify(provider, text, cleaned=False) for text in answer.records]
    reasons = {record.rejection.value for record in records if record.rejection is not None}
    if reasons and all(record.rejection is not None for record in records):
        raise NothingUsable(
            f"the provider lists calls, but what it shows could not become one ({', '.join(sorted(reasons))}).",
            safe="Nothing was stored.",
            hint=f"{needed(provider)} Check base_url, and ask the provider what has changed.",
        )


def _newest_call(source: Source, agent: AgentRow) -> Answer:
    """Ask for a page of one call in the last style, the one with the fewest wishes, which no provider refuses."""
    return source.listed(stream=agent.agent_id, style=source.provider.listing.styles[-1], ask=Ask(number=1, size=1))


def _first_agent(source: Source, agents: Agents, answer: Answer) -> AgentRow | None:
    """Return the first agent of an answer; None if it shows none. Raises NothingUsable if what it shows is no agent."""
    values = [identify(source.provider, text, cleaned=False).value for text in answer.records]
    found = next((agent for value in values if (agent := agents.agent(value)) is not None), None)
    if values and found is None:
        raise NothingUsable(
            "the provider lists agents, but what it shows could not become one.",
            safe="Nothing was stored.",
            hint="An agent must be an object with an id. Check base_url, and ask the provider what has changed.",
        )
    return found
