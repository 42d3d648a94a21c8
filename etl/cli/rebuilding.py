"""`etl rollups rebuild`: says what is about to be done, does it, and shows how it ended for each connection."""

from __future__ import annotations

from etl.cli.output import error_document, say, show_errors, show_json
from etl.cli.syncing import exit_code, interruptible
from etl.cli.table import show_table
from etl.runs.terms import Trigger
from etl.runs.watching import Silence
from etl.system import system_effects
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of, surroundings


def zone_pending(wanted: str) -> str:
    """Return what to say of a time zone that is configured and not taken on."""
    return f"warehouse.reporting_timezone says {wanted}, which is taken on by: etl rollups rebuild"


def rebuild_rollups(invocation: Invocation, *, as_json: bool) -> int:
    """Make all roll-ups again, in the configured time zone, and return the exit code. No credential is needed."""
    from etl.warehouse import schema
    from etl.warehouse.postgres import PostgresWarehouse
    from etl.warehouse.rollups.rebuilding import extent, rebuild

    settings = settings_of(invocation)
    zone = settings.warehouse.reporting_timezone
    with open_warehouse(settings, writes=True) as opened:
        require_warehouse(opened)
        before = schema.reporting_timezone(opened.database)
        found = extent(opened.database, zone)
        if not as_json:
            say(f"{found.calls:,} calls in {len(found.connections)} connections: this takes about {_about(found.seconds)}.")
            if before != zone:
                say(
                    f"Days end at midnight {zone} from now on, no more {before}: {found.moved:,} calls move to another day. "
                    "Syncs wait meanwhile; who reads sees the old days until all are new."
                )
        with (
            interruptible() as stop,
            surroundings(
                PostgresWarehouse,
                opened,
                effects=system_effects(stop),
                watcher=Silence(),
                stop=stop,
                trigger=Trigger.CLI,
            ) as given,
        ):
            outcomes = rebuild(opened.database, given.warehouse, found=found, zone=zone, stop=stop)
    if as_json:
        rows = [
            {
                "connection": one.connection,
                "run": one.run_id,
                "status": one.status.value,
                "error": one.error and error_document(one.error),
            }
            for one in outcomes
        ]
        show_json({"calls": found.calls, "moved": found.moved, "from": before, "to": zone, "connections": rows})
    else:
        show_table(
            ("connection", "status"), [(one.connection, one.status.value if one.run_id else "not run") for one in outcomes]
        )
        show_errors(outcome.error for outcome in outcomes if outcome.error is not None)
    return exit_code(outcomes)


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min"
