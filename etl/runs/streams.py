"""
Which streams a connection has: a single one of all calls, or one per agent, where agents come and go.

This is the only place in runs and audits that asks whether a provider lists calls by agent.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from etl.errors import AnchorNotMet, ConnectionFailed
from etl.model import AgentRow
from etl.provider import CALLS
from etl.reading.orders import way_of
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.port import PageTransaction
from etl.runs.state import StreamState
from etl.runs.terms import Counters, Finding, Want


def start_of(account: Account) -> datetime | None:
    """Return where the account's streams begin; None: where the provider's list ends."""
    return way_of(account.provider).start(account.start_date)


def oldest_wanted(account: Account, want: Want) -> datetime | None:
    """
    Return the instant before which calls are neither loaded nor claimed, although a list may show them; None: all are wanted.

    That is the start date, or what `--since` asks for if that is earlier.
    """
    if account.start_date is None or want.since is None:
        return account.start_date
    return min(account.start_date, want.since)


def fail_alone(account: Account) -> bool:
    """Whether the account's other streams can still be read if one fails."""
    return account.provider.agents is not None


def streams_to_read(task: Task, states: dict[str, StreamState]) -> tuple[str, ...]:
    """Return the streams to read; with one stream per agent, those of listed agents and those known and not closed."""
    if task.account.provider.agents is None:
        return (CALLS,)
    agents = task.source.agents()
    listed = [agent.agent_id for agent in agents]
    wanted = task.account.agents
    if agents and not {*states, *(wanted or ())}.intersection(listed) and not _all_created_since(agents, states):
        raise _no_agent_met(task)
    task.write(lambda page, _: page.save_agents(agents, observed_at=task.clock.now()))
    known = [stream for stream, state in states.items() if state.closed_at is None]
    candidates = dict.fromkeys([*(wanted or listed), *known])
    return tuple(stream for stream in candidates if wanted is None or stream in wanted)


def streams_to_audit(task: Task, states: dict[str, StreamState]) -> tuple[str, ...]:
    """Return the streams to compare; with one stream per agent, those of listed agents and all known ones."""
    account = task.account
    if account.provider.agents is None:
        return (CALLS,)
    listed = [agent.agent_id for agent in task.source.agents()]
    return tuple(name for name in dict.fromkeys([*listed, *states]) if account.agents is None or name in account.agents)


def _all_created_since(agents: tuple[AgentRow, ...], states: dict[str, StreamState]) -> bool:
    """Whether these agents may have replaced the known ones: all were created since the last sync, or nothing was ever read."""
    read = [state.coverage.last.end for state in states.values() if state.coverage]
    return not read or all(agent.created_at is not None and agent.created_at >= max(read) for agent in agents)


def _no_agent_met(task: Task) -> AnchorNotMet:
    return AnchorNotMet(
        "the account lists none of the agents whose calls are held.",
        safe="Nothing was stored or claimed.",
        hint=f"Most likely the token belongs to another account: check connections.{task.connection}.token. If all agents were "
        f"really replaced, name the new ones in connections.{task.connection}.agents.",
    )


def close_agent(task: Task, agent_id: str, state: StreamState) -> None:
    """Close the stream of an agent that no longer exists; its calls stay as they are."""
    now = task.clock.now()

    def close(page: PageTransaction, _: Counters) -> None:
        page.save_state(agent_id, replace(state, start=start_of(task.account), closed_at=now))
        page.close_agent(agent_id, observed_at=now)

    task.write(close)
    task.find(Finding(stream=agent_id, code="agent_gone", text="The agent no longer exists at the provider; its calls are kept."))


def unknown_agent(task: Task, agent_id: str) -> ConnectionFailed:
    """Return the error for an agent that only the configuration names."""
    return ConnectionFailed(
        f"the provider knows no agent {agent_id!r}.",
        safe="The other agents were synced.",
        hint=f"Correct connections.{task.connection}.agents, or leave it out to sync every agent that the key can list.",
    )
