"""Knows the one request that shows whether a credential is accepted, and what the provider counts in its answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from etl.provider import Ask
from etl.reading.orders import way_of
from etl.reading.source import Source


def probe(source: Source, *, until: datetime, span: timedelta) -> str | None:
    """Ask for the smallest page that needs the credential; return what the provider counts (a day, all calls, agents)."""
    provider = source.provider
    agents, listing = provider.agents, provider.listing
    if agents is not None:
        answer = source.api.get_list(agents.path, agents.params(Ask(number=1, size=1)), agents.records)
        total = agents.facts(answer.fields, answer.headers).total
        return f"{total:,} agent{'' if total == 1 else 's'}" if total is not None else None
    way = way_of(provider)
    ask = way.probe(until=until, span=span)
    answer = source.api.get_list(listing.path, listing.styles[0].params(ask), listing.records)
    total = listing.facts(answer.fields, answer.headers).total
    return None if total is None else f"{total:,} {way.probed}"
