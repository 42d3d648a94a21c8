"""Runs queries on the warehouse: one from the command line, or a psql session."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from etl.cli.output import say, show_json, warn
from etl.cli.table import show_table
from etl.errors import UsageError
from etl.warehouse.address import libpq_environment
from etl.warehouse.reports import asking
from etl.wiring import Invocation, Opened, open_warehouse, settings_of

GUARD = "-c default_transaction_read_only=on"
"""Protects against mistakes in psql, not against intent: `SET default_transaction_read_only = off` lets it write."""


def ask(invocation: Invocation, query: str, *, as_json: bool) -> None:
    """Run one read-only query, and show its rows."""
    with open_warehouse(settings_of(invocation)) as opened:
        columns, rows, superuser = asking.ask(opened.database, query)
    if superuser and opened.bin_dir is None:
        warn(
            "The database role is a superuser: what a query calls can reach files and programs of the server. "
            "Use a role that is none."
        )
    if as_json:
        show_json({"columns": list(columns), "rows": [list(row) for row in rows]})
    elif columns:
        show_table(columns, rows)
        say(f"({len(rows):,} row{'' if len(rows) == 1 else 's'})")


def open_psql(invocation: Invocation) -> int:
    """Open psql on the warehouse, set to read unless told otherwise, and return its exit code."""
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
