"""A sync of one connection: its streams first, then the details that are due."""

from __future__ import annotations

from dataclasses import replace

from etl.errors import FORBIDDEN, AnchorNotMet, AuthenticationFailed, ConnectionFailed, NotFound, NothingUsable
from etl.printable import number_of
from etl.provider import CALLS
from etl.records.misfit import needed
from etl.runs.account import Account
from etl.runs.context import Task
from etl.runs.details import read_details
from etl.runs.empty import claim_empty
from etl.runs.lifecycle import Connect, Run, Surroundings, carry_out, connected, under_lock
from etl.runs.moves import settle_moves
from etl.runs.port import RunWarehouse
from etl.runs.state import StreamState
from etl.runs.stream import sync_stream
from etl.runs.streams import close_agent, fail_alone, is_gone, not_begun, start_of, streams_to_read, unknown_agent
from etl.runs.terms import Finding, Outcome, RunKind, Want


def sync_connection(account: Account, *, want: Want, connect: Connect, given: Surroundings[RunWarehouse]) -> Outcome:
    """
    Bring one connection up to date and return how that ended. Raises nothing but programming errors.

    The outcome has no run id if another run is in progress, another process uses the account, or the warehouse could not open a
    run.
    """
    outcome = Outcome(connection=account.connection)

    def read(run: Run) -> None:
        with connected(account, run=run, want=want, connect=connect, given=given, outcome=outcome) as task:
            _sync_streams(task)
            unusable = _unusable(task)
            read_details(task)  # of the calls held, whatever the lists were worth
            if unusable is not None:
                raise unusable

    def sync() -> None:
        with connect.reserved(account):
            carry_out(read, account, kind=RunKind.SYNC, given=given, outcome=outcome)

    under_lock(sync, warehouse=given.warehouse, outcome=outcome)
    return outcome


def _unusable(task: Task) -> NothingUsable | None:
    """Return the error of a run whose lists showed records of which none could become a call; None if all is well."""
    counters = task.counters
    if not counters.rejected or counters.inserted or counters.updated or counters.unchanged:
        return None
    provider = task.account.provider
    return NothingUsable(
        f"the provider, {provider.title}, listed {number_of(counters.rejected, 'record')}, and none could become a call.",
        safe="The records are kept with their reasons; the calls held stay as they were.",
        hint=f"{needed(provider)} See: etl rejects {task.connection}",
    )


def _sync_streams(task: Task) -> None:
    """Sync every stream. Where one may fail alone, the others are still read, and the run fails at the end."""
    if future := not_begun(task.account, task.want, now=task.clock.now()):
        task.find(Finding(stream=CALLS, code="not_begun", text=f"{future}."))
        return
    states = task.states
    failures: list[tuple[str, ConnectionFailed]] = []
    streams = streams_to_read(task, states)
    task.moves.unread.update(streams)
    for stream in streams:
        _sync_one(task, stream, states, failures)
        task.moves.unread.discard(stream)
    # A stream whose held calls are all gone may be proven by held calls that a later stream showed.
    again = [stream for stream, failure in failures if isinstance(failure, AnchorNotMet) and task.account_seen]
    if again and fail_alone(task.account):
        failures = [(stream, failure) for stream, failure in failures if stream not in again]
        for stream in again:
            _sync_one(task, stream, states, failures)
    settle_moves(task)
    if not any(isinstance(failure, AnchorNotMet) for _, failure in failures):
        claim_empty(task, begun=any(state.coverage for state in states.values()))
    if failures:
        raise failures[0][1]


def _sync_one(task: Task, stream: str, states: dict[str, StreamState], failures: list[tuple[str, ConnectionFailed]]) -> None:
    task.watcher.stream_started(task.connection, stream)
    try:
        state = states.get(stream) or StreamState(start=None)
        sync_stream(task, stream, replace(state, start=start_of(task.account), closed_at=None))
    except NotFound as absent:
        if absent.naming != "agent":
            failures.append((stream, absent))
        elif is_gone(task, stream, states.get(stream)):
            close_agent(task, stream, states.get(stream) or StreamState(start=None))
        else:
            failures.append((stream, unknown_agent(task, stream)))
    except ConnectionFailed as failure:
        refused = isinstance(failure, AuthenticationFailed) and failure.status != FORBIDDEN
        if refused or not fail_alone(task.account):
            raise
        failures.append((stream, failure))
    finally:
        task.watcher.stream_finished(task.connection, stream)
