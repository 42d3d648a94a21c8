"""Knows what a sync does of a connection: its streams, then the details that are due. Knows no API, no HTTP, no SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from etl.coverage import ORIGIN
from etl.errors import AnchorNotMet, AuthenticationFailed, ConnectionFailed, NotFound
from etl.model import AgentRow
from etl.provider import Order
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.details import read_details
from etl.runs.lifecycle import Connect, Run, Surroundings, carry_out, connected, under_lock
from etl.runs.port import RunWarehouse
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.terms import Finding, Outcome, RunKind, Want

CALLS = "calls"
"""The stream of a provider that lists all calls of an account together."""


def sync_connection(account: Account, *, want: Want, connect: Connect, given: Surroundings[RunWarehouse]) -> Outcome:
    """
    Bring one connection up to date and tell how that ended; no error leaves this function but a programming error.

    The outcome has no run id where another run is at work or the warehouse could not open a run.
    """
    outcome = Outcome(connection=account.connection)

    def read(run: Run) -> None:
        with connected(account, run=run, want=want, connect=connect, given=given, outcome=outcome) as task:
            _sync_streams(task)
            read_details(task)

    def sync() -> None:
        carry_out(read, account, kind=RunKind.SYNC, given=given, outcome=outcome)

    under_lock(sync, warehouse=given.warehouse, outcome=outcome)
    return outcome


def _sync_streams(task: Task) -> None:
    """Sync every stream; one that fails for itself does not stop the others, but the run."""
    states = task.warehouse.streams(task.connection)
    failures: list[tuple[str, ConnectionFailed]] = []
    for stream in _streams(task, states):
        _sync_one(task, stream, states, failures)
    # A stream whose only calls are gone can prove its account by the streams that came after it.
    again = [stream for stream, failure in failures if isinstance(failure, AnchorNotMet) and task.account_seen]
    if again and task.account.provider.agents is not None:
        failures = [(stream, failure) for stream, failure in failures if stream not in again]
        for stream in again:
            _sync_one(task, stream, states, failures)
    if failures:
        raise failures[0][1]


def _sync_one(task: Task, stream: str, states: dict[str, StreamState], failures: list[tuple[str, ConnectionFailed]]) -> None:
    task.watcher.stream_started(task.connection, stream)
    try:
        state = states.get(stream) or StreamState(start=None)
        sync_stream(task, stream, replace(state, start=starts_at(task.account), closed_at=None))
    except NotFound as absent:
        if absent.naming != "agent":
            failures.append((stream, absent))
        elif stream in states:
            _close_agent(task, stream, states[stream])
        else:
            failures.append((stream, _unknown_agent(task, stream)))
    except AuthenticationFailed:
        raise
    except ConnectionFailed as failure:
        if task.account.provider.agents is None:
            raise
        failures.append((stream, failure))
    finally:
        task.watcher.stream_finished(task.connection, stream)


def starts_at(account: Account) -> datetime | None:
    """Return where a stream of the account begins; None: wherever the provider's list ends."""
    if account.start_date is None and account.provider.listing.order is Order.ASCENDING:
        return ORIGIN
    return account.start_date


def _streams(task: Task, states: dict[str, StreamState]) -> tuple[str, ...]:
    """Return the streams to read; where each agent has its own, those the account lists and those known and not closed."""
    if task.account.provider.agents is None:
        return (CALLS,)
    agents = task.source.agents()
    listed = [agent.agent_id for agent in agents]
    wanted = task.account.agents
    if agents and not {*states, *(wanted or ())}.intersection(listed) and not _all_created_since(agents, states):
        raise _no_agent_met(task)
    with task.warehouse.page(task.account, run_id=task.run_id) as page:
        page.save_agents(agents, observed_at=task.clock.now())
        task.save_progress(page)
    known = [stream for stream, state in states.items() if state.closed_at is None]
    candidates = dict.fromkeys([*(wanted or listed), *known])
    return tuple(stream for stream in candidates if wanted is None or stream in wanted)


def _all_created_since(agents: tuple[AgentRow, ...], states: dict[str, StreamState]) -> bool:
    """Whether the agents may have replaced those known: all were created after the last sync, or nothing was read before."""
    read = [state.coverage.last.end for state in states.values() if state.coverage]
    return not read or all(agent.created_at is not None and agent.created_at >= max(read) for agent in agents)


def _no_agent_met(task: Task) -> AnchorNotMet:
    return AnchorNotMet(
        f"Connection {task.connection}: the account lists none of the agents whose calls are held.",
        safe="Nothing was stored or claimed.",
        hint=f"Most likely the token belongs to another account: check connections.{task.connection}.token. If all agents were "
        f"really replaced, name the new ones in connections.{task.connection}.agents.",
    )


def _close_agent(task: Task, agent_id: str, state: StreamState) -> None:
    """Close the stream of an agent that no longer exists; its calls stay as they are."""
    now = task.clock.now()
    with task.warehouse.page(task.account, run_id=task.run_id) as page:
        page.save_state(agent_id, replace(state, start=starts_at(task.account), closed_at=now))
        page.close_agent(agent_id, observed_at=now)
    task.find(Finding(stream=agent_id, code="agent_gone", text="The agent no longer exists at the provider; its calls are kept."))


def _unknown_agent(task: Task, agent_id: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"Connection {task.connection}: the provider knows no agent {agent_id!r}.",
        safe="The other agents were synced.",
        hint=f"Correct connections.{task.connection}.agents, or leave it out to sync every agent that the key can list.",
    )
