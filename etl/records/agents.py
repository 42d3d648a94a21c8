"""Who handled calls, where their records tell the agents' names."""

from __future__ import annotations

from collections.abc import Iterable

from etl.model import AgentRow, Record
from etl.provider import Provider
from etl.records.parse import Unfit, identifier, text
from etl.records.reach import reacher


def named_in(provider: Provider, records: Iterable[Record]) -> tuple[AgentRow, ...]:
    """Return the agents that records name, each as the last record has it; empty if the form knows of no name."""
    key = next((one.key for one in provider.fields if one.column == "agent_id"), None)
    if provider.agent_name is None or key is None:
        return ()
    id_of, name_of = reacher(key), reacher(provider.agent_name)
    found: dict[str, AgentRow] = {}
    for record in records:
        value = record.value
        try:
            agent_id, name = identifier(id_of(value, None)), text(name_of(value, None))
        except Unfit:  # the call itself notes what is odd about it
            continue
        if agent_id is not None and name:
            found[agent_id] = AgentRow(agent_id, name, None)
    return tuple(found.values())
