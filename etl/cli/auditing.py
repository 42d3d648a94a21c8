"""`etl audit`: every connection in a thread of its own, a table of verdicts, what disagrees, the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etl.cli.output import error_document, say, show_errors, show_json, warn, worst_code
from etl.cli.progress import watching
from etl.cli.syncing import interruptible
from etl.cli.table import show_table
from etl.config import ConnectionSettings, Settings
from etl.coverage import BEGINNING
from etl.library import AuditOutcome
from etl.library.opened import audit_opened
from etl.model import Verdict
from etl.printable import number_of
from etl.runs.terms import Trigger
from etl.wiring import Invocation, Opened, open_warehouse, require_warehouse, settings_of

SHOWN = 20
"""The maximum number of disagreements shown per connection; `--json` lists up to a thousand."""


def audit_connections(invocation: Invocation, names: Sequence[str], *, repair: bool, as_json: bool) -> int:
    """Audit the chosen connections, show what was found, and return the exit code."""
    settings = settings_of(invocation)
    chosen = settings.choose(tuple(names))
    with open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        outcomes = run_audits(settings, chosen, opened, repair=repair, quiet=as_json)
    if as_json:
        show_json({"repair": repair, "connections": [_document(outcome) for outcome in outcomes]})
    else:
        show_audits(outcomes, repair=repair)
    return exit_code(outcomes)


def run_audits(
    settings: Settings, chosen: dict[str, ConnectionSettings], opened: Opened, *, repair: bool, quiet: bool = False
) -> list[AuditOutcome]:
    """Audit the chosen connections in parallel and return how each ended, in their order."""
    with watching(quiet=quiet) as watcher, interruptible() as stop:
        return audit_opened(settings, chosen, opened, repair=repair, trigger=Trigger.CLI, stop=stop, watcher=watcher)


def show_audits(outcomes: Sequence[AuditOutcome], *, repair: bool) -> None:
    """Show each stream's verdict, and below it every disagreement by name."""
    show_table(
        ("connection", "stream", "verdict", "provider counts", "held", "rejected", "until"),
        [
            (
                outcome.connection,
                one.stream,
                one.verdict.value,
                one.provider_count,
                one.warehouse_count,
                one.rejected_count,
                one.span.end,
            )
            for outcome in outcomes
            for one in outcome.verdicts
        ],
        spare=("until", "rejected"),
    )
    for outcome in outcomes:
        for one in outcome.verdicts:
            if one.note:
                say(f"{outcome.connection}, stream {one.stream}: {one.note}.")
        for found in outcome.named[:SHOWN]:
            mended = " (mended)" if found.mended else ""
            where = f", stream {found.stream}" if found.stream else ""
            what = "roll-ups" if found.call_id is None else f"call {found.call_id}"
            say(f"{outcome.connection}{where}, {what}: {', '.join(found.differs)}{mended}")
        if outcome.disagreements > SHOWN:
            say(f"{outcome.connection}: {outcome.disagreements - SHOWN:,} more; --json names up to a thousand.")
        for finding in outcome.findings:
            warn(f"{outcome.connection}, stream {finding.stream}: {finding.text}")
        checked, requests = number_of(outcome.checked, "call"), number_of(outcome.requests, "request")
        say(f"{outcome.connection}: {checked} compared with their own records, {requests}.")
        if outcome.stands and not repair:
            say(f"To put it right: etl audit {outcome.connection} --repair")
    show_errors(outcome.error for outcome in outcomes if outcome.error is not None)


def exit_code(outcomes: Sequence[AuditOutcome]) -> int:
    """Return the exit code: the first of 2, 1, 3 and 0 that occurred; a mismatch that was not repaired counts as 1."""
    errors = [outcome.error.exit_code for outcome in outcomes if outcome.error]
    return worst_code([*errors, *(1 for outcome in outcomes if outcome.stands)])


def _document(outcome: AuditOutcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "connection": outcome.connection,
        "run": outcome.run_id,
        "requests": outcome.requests,
        "checked": outcome.checked,
        "streams": [
            {
                "stream": one.stream,
                "verdict": one.verdict.value,
                "range_start": None if one.span.start == BEGINNING else one.span.start,
                "range_end": one.span.end,
                "provider_count": one.provider_count,
                "warehouse_count": one.warehouse_count,
                "rejected_count": one.rejected_count,
                "note": one.note,
            }
            for one in outcome.verdicts
        ],
        "verdict": _worst(outcome),
        "disagreements": outcome.disagreements,
        "mended": outcome.mended,
        "named": [found._asdict() for found in outcome.named],
        "findings": [{"stream": one.stream, "code": one.code, "text": one.text} for one in outcome.findings],
        "error": error_document(error) if error else None,
    }


def _worst(outcome: AuditOutcome) -> str | None:
    order = (Verdict.MISMATCH, Verdict.UNVERIFIABLE, Verdict.REPAIRED, Verdict.COMPLETE)
    return next((verdict.value for verdict in order if any(one.verdict is verdict for one in outcome.verdicts)), None)
