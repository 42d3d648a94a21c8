"""`etl replay`: one connection after the other, one table at the end, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence

from etl.cli.output import error_document, show_errors, show_json, warn
from etl.cli.progress import watching
from etl.cli.syncing import exit_code, interruptible
from etl.cli.table import show_table
from etl.config import ConnectionSettings
from etl.runs.replay import replay_connection
from etl.runs.terms import Outcome, Trigger
from etl.system import system_effects
from etl.wiring import Invocation, Opened, account, open_warehouse, require_warehouse, settings_of, surroundings


def replay_connections(invocation: Invocation, names: tuple[str, ...], *, as_json: bool) -> int:
    """Replay the chosen connections, show what changed, and return the exit code. No credential is needed."""
    settings = settings_of(invocation)
    chosen = settings.named(names)
    with open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        outcomes = run_replays(chosen, opened, quiet=as_json)
    if as_json:
        show_json({"connections": [_document(outcome) for outcome in outcomes]})
    else:
        _show(outcomes)
    return exit_code(outcomes)


def run_replays(chosen: dict[str, ConnectionSettings], opened: Opened, *, quiet: bool) -> list[Outcome]:
    """Replay the chosen connections one after the other and return how each ended, in their order."""
    from etl.warehouse.replay import PostgresReplay

    with (
        watching(quiet=quiet) as watcher,
        interruptible() as stop,
        surroundings(
            PostgresReplay, opened, effects=system_effects(stop), watcher=watcher, stop=stop, trigger=Trigger.CLI
        ) as given,
    ):
        return [replay_connection(account(name, connection), given=given) for name, connection in chosen.items()]


def _show(outcomes: Sequence[Outcome]) -> None:
    show_table(
        ("connection", "status", "looked at", "new", "rewritten", "as before", "still rejected"),
        [
            (
                outcome.connection,
                _status(outcome),
                outcome.counters.records_seen,
                outcome.counters.inserted,
                outcome.counters.updated,
                outcome.counters.unchanged,
                outcome.counters.rejected,
            )
            for outcome in outcomes
        ],
    )
    for outcome in outcomes:
        for finding in outcome.findings:
            warn(f"{outcome.connection}: {finding.text}")
    show_errors(outcome.error for outcome in outcomes if outcome.error is not None)


def _status(outcome: Outcome) -> str:
    if outcome.run_id is not None:
        return outcome.status.value
    return "not run" if outcome.error else "nothing held"


def _document(outcome: Outcome) -> dict[str, object]:
    counters, error = outcome.counters, outcome.error
    return {
        "connection": outcome.connection,
        "run": outcome.run_id,
        "status": _status(outcome).replace(" ", "_"),
        "records_seen": counters.records_seen,
        "inserted": counters.inserted,
        "updated": counters.updated,
        "unchanged": counters.unchanged,
        "rejected": counters.rejected,
        "findings": [{"code": one.code, "text": one.text} for one in outcome.findings],
        "error": error_document(error) if error else None,
    }
