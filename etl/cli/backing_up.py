"""`etl backup` and `etl restore`: a bar per table, and one sentence at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from etl.cli.output import plain, say, show_json, warn
from etl.cli.progress import watching
from etl.cli.syncing import interruptible
from etl.errors import UsageError
from etl.printable import number_of
from etl.system import system_effects
from etl.wiring import Invocation, open_warehouse, settings_of

if TYPE_CHECKING:
    from etl.warehouse.backup.archive import Manifest
    from etl.warehouse.database import Database


def back_up_warehouse(invocation: Invocation, path: Path, *, as_json: bool) -> None:
    """Write the configured warehouse into a file and say what is in it."""
    from etl.warehouse.backup.taking import back_up

    with open_warehouse(settings_of(invocation)) as opened, watching(quiet=as_json) as watcher, interruptible() as stop:
        manifest = back_up(opened.database, path, watcher=watcher, stop=stop)
    if as_json:
        show_json(_document(path, manifest))
        return
    say(f"Wrote {path}: {_held(manifest)}; {path.stat().st_size / 1e6:,.1f} MB.")
    say("It holds personal data: keep it as secret as the warehouse.")


def restore_warehouse(invocation: Invocation, path: Path, *, as_json: bool) -> None:
    """Bring a backup into the configured warehouse and say what was in it."""
    from etl.warehouse.backup.restoring import restore
    from etl.warehouse.locks import Locks
    from etl.warehouse.privacy.erasures import count_erased

    settings = settings_of(invocation)
    with (
        open_warehouse(settings, writes=True) as opened,
        watching(quiet=as_json) as watcher,
        interruptible() as stop,
        Locks(opened.database, system_effects(stop).threads) as locks,
    ):
        manifest = restore(opened.database, path, locks=locks, configured=[*settings.connections], watcher=watcher, stop=stop)
        persons, calls = count_erased(opened.database)
        trouble = _trouble_with_key(opened.database)
    if as_json:
        show_json(_document(path, manifest) | {"erased": {"persons": persons, "calls": calls}})
    else:
        say(f"Restored {path}, of {plain(manifest.taken_at)}: {_held(manifest)}.")
    if persons or calls:
        warn(
            f"It holds erasures: {number_of(persons, 'person', 'persons')} and {number_of(calls, 'call')}. {trouble}"
            f"Whoever was forgotten after {plain(manifest.taken_at)} is held again: before the first sync, take on the newest "
            "list of erasures (etl forget --from FILE)."
        )
    wanted, kept = settings.warehouse.reporting_timezone, manifest.reporting_timezone
    if wanted != kept:
        warn(
            f"The calls' days end at midnight {kept}, as in the file, though warehouse.reporting_timezone is {wanted}. "
            f"Set it to {kept}."
        )


def _trouble_with_key(database: Database) -> str:
    from etl.warehouse.privacy.erasures import check_key

    try:
        check_key(database)
    except UsageError as error:
        return f"{error.hint} "
    return ""


def _held(manifest: Manifest) -> str:
    rows = manifest.rows
    calls, held = number_of(rows["public.calls"], "call"), number_of(sum(rows.values()), "row")
    return f"{calls}, {held} in {len(rows)} tables, schema {manifest.schema}"


def _document(path: Path, manifest: Manifest) -> dict[str, object]:
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "program": manifest.program,
        "schema": manifest.schema,
        "server": manifest.server,
        "taken_at": manifest.taken_at,
        "reporting_timezone": manifest.reporting_timezone,
        "tables": manifest.rows,
    }
