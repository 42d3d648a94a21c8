"""`etl prune`: removes old records of the program itself, and says how many of which relation."""

from __future__ import annotations

from threading import Event

from etl.cli.output import say, show_errors, show_json
from etl.cli.syncing import exit_code, interruptible
from etl.cli.table import show_table
from etl.config import Settings
from etl.config.values import duration_text
from etl.erasing import forget_known
from etl.printable import number_of
from etl.runs.forgetting import Forgotten
from etl.runs.port import Cutting
from etl.runs.terms import Trigger
from etl.runs.watching import Silence
from etl.system import system_effects
from etl.wiring import Invocation, Opened, open_warehouse, require_warehouse, settings_of, surroundings


def prune_records(invocation: Invocation, *, as_json: bool) -> int:
    """
    Remove what `[retention]` says, of all connections, configured or not, show what was removed, and return the exit code.

    What `erase_calls_after` and `erase_transcripts_after` say is erased, and so is what an `etl forget` left undone.
    """
    from etl.warehouse.pruning import prune

    settings = settings_of(invocation)
    kept = settings.retention
    with open_warehouse(settings, writes=True) as opened, interruptible() as stop:
        require_warehouse(opened)
        removed = prune(opened.database, runs_after=kept.runs, audits_after=kept.audits, jobs_after=kept.jobs, stop=stop)
        forgotten = _erase(settings, opened, stop)
        stopped = stop.is_set()
    erased = {name: sum(getattr(one.cutting, name) for one in forgotten) for name in Cutting._fields}
    if as_json:
        rows = [{"relation": one.relation, "older_than": duration_text(one.older_than), "removed": one.rows} for one in removed]
        show_json({"stopped": stopped, "relations": rows, "erased": erased})
        return exit_code(forgotten)
    show_table(
        ("relation", "older than", "removed"), [(one.relation, duration_text(one.older_than), one.rows) for one in removed]
    )
    if any(erased.values()):
        say("Erased, for their age or because an etl forget had not come to them: " + _told(erased) + ".")
    show_errors(one.error for one in forgotten if one.error is not None)
    if stopped:
        say("Stopped before everything was looked through. What was removed stays removed; the next etl prune goes on.")
    return exit_code(forgotten)


def _erase(settings: Settings, opened: Opened, stop: Event) -> list[Forgotten]:
    from etl.warehouse.privacy.erasures import known_connections
    from etl.warehouse.privacy.forgetting import PostgresForgetting

    with surroundings(
        PostgresForgetting, opened, effects=system_effects(stop), watcher=Silence(), stop=stop, trigger=Trigger.CLI
    ) as given:
        return [
            forget_known(settings, one.connection, one.provider, given=given, anew=False)
            for one in known_connections(opened.database)
            if not stop.is_set()
        ]


def _told(erased: dict[str, int]) -> str:
    return ", ".join(number_of(number, name.removesuffix("s")) for name, number in erased.items() if number)
