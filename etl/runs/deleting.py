"""
Deletes erased calls at their provider: the only requests of the program that write, made by `etl forget --at-provider` alone.

Each call is marked when it was asked for and when it is done, so that what is cut off goes on where it stopped. A call that is
gone already is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from etl.errors import EtlError, Interrupted, NotFound
from etl.reading.api import Eraser
from etl.reading.source import path_of
from etl.runs.account import Account


@dataclass(slots=True, kw_only=True)
class Deleted:
    """How many calls of a connection were deleted at its provider, how many are still to be, and what went wrong."""

    connection: str
    done: int = 0
    left: int = 0
    error: EtlError | None = None


class DeletionList(Protocol):
    """What is asked for of a connection."""

    def asked(self, connection: str) -> Sequence[str]:
        """Return the calls that are to be deleted, and were not yet."""
        ...

    def done(self, connection: str, call_id: str) -> None:
        """Remember that a call is deleted."""
        ...


class Connect(Protocol):
    """The way to the API of an account, as `etl.runs.lifecycle.Connect`."""

    def reserved(self, account: Account) -> AbstractContextManager[None]:
        """Use the request allowance of the account for the block."""
        ...

    def __call__(self, account: Account) -> AbstractContextManager[Eraser]:
        """Open the API."""
        ...


def delete_asked(account: Account, *, connect: Connect, calls: DeletionList, stop: Event) -> Deleted:
    """Delete what is asked for of a connection. Raises nothing but programming errors."""
    outcome = Deleted(connection=account.connection)
    try:
        asked = calls.asked(account.connection)
        outcome.left = len(asked)
        if asked and account.provider.deletion is not None:
            with connect.reserved(account), connect(account) as api:
                _delete(account, account.provider.deletion, asked, api=api, calls=calls, stop=stop, outcome=outcome)
    except EtlError as error:
        outcome.error = error.of(account.connection)
    return outcome


def _delete(
    account: Account, path: str, asked: Sequence[str], *, api: Eraser, calls: DeletionList, stop: Event, outcome: Deleted
) -> None:
    for call_id in asked:
        if stop.is_set():
            raise Interrupted(
                "deleting at the provider was interrupted.",
                safe="What was deleted is noted; everything is erased here.",
                hint="Run the same command again: it goes on there.",
            )
        try:
            api.delete(path_of(path, account.own, call=call_id))
        except NotFound as gone:
            if gone.naming != "call":  # a wrong address says nothing of the call
                raise
        calls.done(account.connection, call_id)
        outcome.done, outcome.left = outcome.done + 1, outcome.left - 1
