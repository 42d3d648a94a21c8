"""`etl sync`: every connection in a thread of its own, one table at the end, and the exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any, Protocol

from etl.cli import interpreter
from etl.cli.output import error_document, say, show_errors, show_json, warn, worst_code
from etl.cli.progress import watching
from etl.cli.table import show_table
from etl.config import ConnectionSettings, Settings
from etl.errors import EtlError, UsageError
from etl.library import Outcome
from etl.library.opened import sync_opened, wanted
from etl.printable import number_of
from etl.records.parse import Unfit, instant
from etl.runs.terms import Trigger, Want
from etl.system import set_by_signals
from etl.wiring import Invocation, Opened, open_warehouse, settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was asked for on the command line."""

    names: tuple[str, ...] = ()
    full: bool = False
    since: str | None = None
    until: str | None = None
    dry_run: bool = False


def sync_connections(invocation: Invocation, order: Order, *, as_json: bool) -> int:
    """Sync the chosen connections, show how each ended, and return the exit code."""
    want = _want(order)
    settings = settings_of(invocation)
    chosen = settings.choose(order.names)
    with open_warehouse(settings, writes=True) as opened:
        if order.dry_run and opened.is_empty():
            if as_json:
                show_json({"dry_run": True, "connections": []})
            else:
                say("The warehouse is empty: everything that the providers have would be new. Nothing was written.")
            return 0
        if opened.ensure_schema(settings) and not as_json:
            say("The warehouse was empty: its schema was made.")
        outcomes = run_syncs(settings, chosen, opened, want=want, dry_run=order.dry_run, quiet=as_json)
    if as_json:
        show_json({"dry_run": order.dry_run, "connections": [_document(outcome) for outcome in outcomes]})
    else:
        show_outcomes(outcomes, dry_run=order.dry_run)
    return exit_code(outcomes)


def run_syncs(
    settings: Settings,
    chosen: dict[str, ConnectionSettings],
    opened: Opened,
    *,
    want: Want,
    dry_run: bool = False,
    quiet: bool = False,
) -> list[Outcome]:
    """Sync the chosen connections in parallel and return how each ended, in their order."""
    interpreter.set_up()
    with watching(quiet=quiet) as watcher, interruptible() as stop:
        return sync_opened(settings, chosen, opened, want=want, trigger=Trigger.CLI, stop=stop, watcher=watcher, dry_run=dry_run)


def show_outcomes(outcomes: Sequence[Outcome], *, dry_run: bool = False) -> None:
    """Show what each connection loaded, and below it all remarks and errors."""
    show_table(
        ("connection", "status", "new", "changed", "unchanged", "rejected", "requests"),
        [
            (
                outcome.connection,
                outcome.status.value if outcome.status else "not run",
                outcome.counters.inserted,
                outcome.counters.updated,
                outcome.counters.unchanged,
                outcome.counters.rejected,
                outcome.counters.requests,
            )
            for outcome in outcomes
        ],
    )
    if dry_run:
        say("A dry run: nothing was written.")
    for outcome in outcomes:
        for finding in outcome.findings:
            warn(f"{outcome.connection}, stream {finding.stream}: {finding.text}")
        if outcome.counters.rejected:
            warn(
                f"{outcome.connection}: {number_of(outcome.counters.rejected, 'record')} could not become calls; they are kept "
                f"with the reason, see: etl rejects {outcome.connection}"
            )
    show_errors(outcome.error for outcome in outcomes if outcome.error is not None)


class Ended(Protocol):
    """Whatever ended with an error, or without."""

    @property
    def error(self) -> EtlError | None:
        """What went wrong."""
        ...


def exit_code(outcomes: Iterable[Ended]) -> int:
    """Return the exit code of several outcomes: the first of 2, 1, 3 and 0 that occurred."""
    return worst_code(outcome.error.exit_code for outcome in outcomes if outcome.error)


def _want(order: Order) -> Want:
    since, until = _instant("--since", order.since), _instant("--until", order.until)
    return wanted(full=order.full, since=since, until=until, option="--")


def _instant(option: str, value: str | None) -> datetime | None:
    """Read a date (midnight UTC) or a date-time (UTC unless it has an offset)."""
    if value is None:
        return None
    try:
        return instant(f"{value}T00:00:00Z" if "T" not in value and ":" not in value else value)
    except Unfit:
        raise UsageError(
            f"{option} is not an instant.", safe="Nothing was started.", hint="Write 2026-03-01 or 2026-03-01T12:00:00Z."
        ) from None


@contextmanager
def interruptible() -> Iterator[Event]:
    """Let the first Ctrl-C (or SIGTERM) end the syncs after the current page, and the second one at once."""
    stop = Event()

    def ask_to_stop(*_: object) -> None:
        signal.signal(signal.SIGINT, end_at_once)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ask()

    def end_at_once(*_: object) -> None:
        # Threads may wait for a provider for minutes, and the interpreter for them. Nothing is lost by ending here: see
        # docs/promise.md. The bars had hidden the cursor.
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""
        with suppress(OSError):
            os.write(2, f"{shown}Interrupted. What was committed stays; the next sync continues there.\n".encode())
        os._exit(130)

    with set_by_signals(stop) as ask:
        try:
            before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: signals are left to the caller
            before = {}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _document(outcome: Outcome) -> dict[str, Any]:
    counters = {name: getattr(outcome.counters, name) for name in outcome.counters.__slots__}
    error = outcome.error
    return {
        "connection": outcome.connection,
        "run": outcome.run_id,
        "status": outcome.status.value if outcome.status else "not_run",
        **counters,
        "findings": [{"stream": one.stream, "code": one.code, "text": one.text} for one in outcome.findings],
        "error": error_document(error) if error else None,
    }
