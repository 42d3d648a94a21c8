"""Knows the life of one run: lock, fence, streams, open calls, and how it ends. Knows no API, no HTTP, no SQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event

import structlog

from etl.coverage import ORIGIN
from etl.errors import (
    FORBIDDEN,
    AnchorNotMet,
    AuthenticationFailed,
    BudgetSpent,
    ConnectionFailed,
    EtlError,
    Interrupted,
    NotFound,
)
from etl.model import JSON, AgentRow
from etl.provider import Order
from etl.reading.api import Api, Clock
from etl.reading.source import Capabilities, Source
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.details import read_details
from etl.runs.port import RunWarehouse, Watcher
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.terms import Finding, Outcome, RunStatus, Want

log = structlog.get_logger(__name__)

CALLS = "calls"
"""The stream of a provider that lists all calls of an account together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a sync is given: the warehouse, how to reach the API (with what its limiter remembers), clock, watcher, stop."""

    warehouse: RunWarehouse
    connect: Callable[[Account, JSON], AbstractContextManager[Api]]
    clock: Clock
    watcher: Watcher
    stop: Event
    trigger: str = "cli"


def sync_connection(account: Account, *, want: Want, given: Surroundings) -> Outcome:
    """
    Bring one connection up to date and tell how that ended; no error leaves this function but a programming error.

    The outcome has no run id where another run is at work or the warehouse could not open a run.
    """
    outcome = Outcome(connection=account.connection, run_id=None, status=RunStatus.FAILED)
    try:
        given.warehouse.acquire(account.connection)
    except EtlError as error:
        outcome.error = error
        return outcome
    try:
        _run(account, want=want, given=given, outcome=outcome)
    except EtlError as error:
        outcome.error = outcome.error or error
    finally:
        given.warehouse.release(account.connection)
    return outcome


def _run(account: Account, *, want: Want, given: Surroundings, outcome: Outcome) -> None:
    warehouse = given.warehouse
    outcome.run_id = run_id = warehouse.open_run(account, trigger=given.trigger)
    log.info("run.started", connection=account.connection, run=run_id)
    request_log: JSON = None
    try:
        capabilities, request_log, pinned = warehouse.remembered(account.connection)
        organization = organization_of(account, pinned)
        with given.connect(account, request_log) as api:
            task = Task(
                account=account,
                source=Source(account.provider, api),
                warehouse=warehouse,
                run_id=run_id,
                want=want,
                clock=given.clock,
                watcher=given.watcher,
                stop=given.stop,
                counters=outcome.counters,
                capabilities=Capabilities.remembered(capabilities, now=given.clock.now()),
                organization=organization,
                pinned=pinned,
                findings=outcome.findings,
            )
            try:
                _sync_streams(task)
                read_details(task)
                outcome.status = RunStatus.SUCCEEDED
            finally:
                outcome.counters.requests, outcome.counters.retries = api.requests, api.retries
                request_log = api.request_log()
    except (BudgetSpent, Interrupted) as error:
        outcome.status, outcome.error = RunStatus.PARTIAL, error
    except EtlError as error:
        if isinstance(error, ConnectionFailed) and account.connection not in error.happened:
            error.happened = f"Connection {account.connection}: {error.happened}"  # the walks do not know whose pages they read
        outcome.status, outcome.error = RunStatus.FAILED, error
    except BaseException:
        outcome.error = EtlError(
            f"Connection {account.connection}: the program itself failed.",
            safe="Everything up to the last page is committed.",
            hint="Please report it with the traceback.",
        )
        raise
    finally:
        warehouse.close_run(run_id, account.connection, outcome=outcome, request_log=request_log)
        log.info(
            "run.finished",
            connection=account.connection,
            run=run_id,
            status=outcome.status.value,
            error=outcome.error.code if outcome.error else None,
            requests=outcome.counters.requests,
            inserted=outcome.counters.inserted,
            updated=outcome.counters.updated,
        )


def organization_of(account: Account, pinned: str | None) -> str | None:
    """Return the organisation that every record must belong to. Raises ConnectionFailed where setting and pin disagree."""
    if account.organization_id and pinned and account.organization_id != pinned:
        raise ConnectionFailed(
            f"Connection {account.connection} holds the calls of another organisation than the one configured.",
            safe="Nothing was read or stored.",
            hint=f"Set connections.{account.connection}.organization_id back, or give the other organisation a connection "
            "of its own.",
        )
    return account.organization_id or pinned


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
    except ConnectionFailed as failure:
        refused = isinstance(failure, AuthenticationFailed) and failure.status != FORBIDDEN
        if task.account.provider.agents is None or refused:
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
