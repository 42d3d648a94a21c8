"""`etl prune`: removes old records of the program itself, and says how many of which relation."""

from __future__ import annotations

from etl.cli.output import say, show_json
from etl.cli.syncing import interruptible
from etl.cli.table import show_table
from etl.config.values import duration_text
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of


def prune_records(invocation: Invocation, *, as_json: bool) -> None:
    """Remove what `[retention]` says, of all connections, configured or not, and show what was removed."""
    from etl.warehouse.pruning import prune

    settings = settings_of(invocation)
    kept = settings.retention
    with open_warehouse(settings, writes=True) as opened, interruptible() as stop:
        require_warehouse(opened)
        removed = prune(opened.database, runs_after=kept.runs, audits_after=kept.audits, jobs_after=kept.jobs, stop=stop)
        stopped = stop.is_set()
    if as_json:
        rows = [{"relation": one.relation, "older_than": duration_text(one.older_than), "removed": one.rows} for one in removed]
        show_json({"stopped": stopped, "relations": rows})
        return
    show_table(
        ("relation", "older than", "removed"), [(one.relation, duration_text(one.older_than), one.rows) for one in removed]
    )
    if stopped:
        say("Stopped before everything was looked through. What was removed stays removed; the next etl prune goes on.")
