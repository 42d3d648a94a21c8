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
    task.agents_listed = frozenset(agent.agent_id for agent in agents)
    listed = [agent.agent_id for agent in agents]
    wanted = task.account.agents
    if agents and not {*states, *(wanted or ())}.intersection(listed) and not _all_created_since(agents, states):
        raise _no_agent_met(task)
    task.write(lambda page, _: page.save_agents(agents, observed_at=task.clock.now()))
    known = [stream for stream, state in states.items() if state.closed_at is None]
    candidates = dict.fromkeys([*(wanted or listed), *known])
    streams = tuple(stream for stream in candidates if wanted is None or stream in wanted)
    _owe(task, streams, states)
    return streams


def _owe(task: Task, streams: tuple[str, ...], states: dict[str, StreamState]) -> None:
    """
    Write down which streams are owed before any of them is read: a stream that cannot be read must not be forgotten for it.

    One that is no longer configured is owed no more, and closed.
    """
    now = task.clock.now()
    wanted = {stream: replace(states.get(stream, StreamState(start=None)), closed_at=None) for stream in streams}
    dropped = {stream: replace(state, closed_at=now) for stream, state in states.items() if state.closed_at is None}
    for stream, state in (dropped | wanted).items():
        if states.get(stream) != state:
            _save(task, stream, state)


def _save(task: Task, stream: str, state: StreamState) -> None:
    kept = replace(state, start=start_of(task.account))
    task.write(lambda page, _: page.save_state(stream, kept))


def not_begun(account: Account, want: Want, *, now: datetime) -> str | None:
    """Return a sentence if nothing is to be read yet because the start date is in the future, else None."""
    begins = oldest_wanted(account, want)
    if begins is None or begins <= now:
        return None
    return f"start_date ({begins:%Y-%m-%d %H:%M} UTC) is in the future: nothing is read until then"


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


def is_gone(task: Task, agent_id: str, state: StreamState | None) -> bool:
    """
    Whether an agent that answers 404 is one that went: it was read before, or nobody names it any more.

    One that was never read, and that the configuration or the provider's own list names, is owed and cannot be had.
    """
    if state is not None and (state.coverage or state.horizon is not None):
        return True
    return agent_id not in task.agents_listed and agent_id not in (task.account.agents or ())


def unknown_agent(task: Task, agent_id: str) -> ConnectionFailed:
    """Return the error for an agent that the configuration or the provider's list names, and that cannot be read."""
    if agent_id in task.agents_listed:
        return ConnectionFailed(
            f"the provider lists the agent {agent_id!r}, and answers that it knows no such agent when its calls are asked for.",
            safe="The other agents were synced.",
            hint="The next sync asks again. If it stays so, ask the provider.",
        )
    return ConnectionFailed(
        f"the provider knows no agent {agent_id!r}.",
        safe="The other agents were synced.",
        hint=f"Correct connections.{task.connection}.agents, or leave it out to sync every agent that the key can list.",
    )
