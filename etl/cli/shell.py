"""Runs queries on the warehouse: one from the command line, or a psql session."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from etl.cli.answering import show_csv, show_json, show_table
from etl.cli.output import warn
from etl.errors import UsageError
from etl.warehouse.address import libpq_environment
from etl.warehouse.reports import asking
from etl.wiring import Invocation, Opened, open_warehouse, settings_of

NOT_ASKED = "Nothing was asked."
GUARD = "-c default_transaction_read_only=on"
"""Protects against mistakes in psql, not against intent: `SET default_transaction_read_only = off` lets it write."""


def ask(invocation: Invocation, query: str, *, as_json: bool, as_csv: bool) -> None:
    """Run one read-only query, and show its rows. Raises UsageError, WarehouseError."""
    if as_json and as_csv:
        raise UsageError("--csv and --json are two forms of the same answer.", safe=NOT_ASKED, hint="Give one or the other.")
    with open_warehouse(settings_of(invocation)) as opened:
        answer = asking.ask(opened.database, query)
    if answer.superuser and opened.bin_dir is None:
        warn(
            "The database role is a superuser: what a query calls can reach files and programs of the server. "
            "Use a role that is none."
        )
    if as_json:
        show_json(answer)
    elif as_csv:
        show_csv(answer)
    elif answer.columns:
        show_table(answer)


def open_psql(invocation: Invocation, *, formed: bool) -> int:
    """Open psql on the warehouse, set to read unless told otherwise, and return its exit code. `formed`: a form was asked for."""
    if formed:
        raise UsageError("--csv and --json need a query.", safe=NOT_ASKED, hint='Write: etl sql --csv "SELECT …"')
    with open_warehouse(settings_of(invocation)) as opened:
        program = _psql(opened)
        # Ctrl-C is left to psql, where it cancels a query.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            # The address contains the password. Other users cannot read it in the environment.
            surroundings = {**os.environ, **libpq_environment(opened.conninfo)}
            surroundings["PGOPTIONS"] = f"{surroundings.get('PGOPTIONS', '')} {GUARD}".strip()
            return subprocess.run([program], env=surroundings, check=False).returncode  # noqa: S603 - found below
        finally:
            signal.signal(signal.SIGINT, before)


def _psql(opened: Opened) -> str:
    beside: Path | None = opened.bin_dir / "psql" if opened.bin_dir else None
    found = str(beside) if beside and os.access(beside, os.X_OK) else shutil.which("psql")
    if found is None:
        raise UsageError(
            "psql is not installed.",
            safe="Nothing was changed.",
            hint='Install it, or ask on the command line: etl sql "SELECT …"',
        )
    return found
