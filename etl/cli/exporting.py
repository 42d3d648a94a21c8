"""`etl export`: a bar per relation, and a table of what was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from etl.cli.output import plain, say, show_json
from etl.cli.progress import watching
from etl.cli.syncing import interruptible
from etl.cli.table import show_table
from etl.errors import UsageError
from etl.printable import number_of
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of

if TYPE_CHECKING:
    from etl.warehouse.export.exporting import Exported

COLUMNS = ("relation", "rows", "files", "written", "removed", "MB")


def export_relations(invocation: Invocation, path: Path, names: Sequence[str], *, masked: bool, as_json: bool) -> None:
    """Bring a folder of Parquet files up to date and say what was written."""
    settings = settings_of(invocation)
    _require_parquet()
    from etl.warehouse.export.exporting import export

    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        with watching(quiet=as_json) as watcher, interruptible() as stop:
            ended = export(opened.database, path, names, masked=masked, watcher=watcher, stop=stop)
    if as_json:
        show_json(_document(path, ended))
        return
    show_table(
        COLUMNS,
        [(one.relation, one.rows, one.files, one.written, one.removed, f"{one.bytes / 1e6:,.1f}") for one in ended.relations],
    )
    written, files = sum(one.written for one in ended.relations), sum(one.files for one in ended.relations)
    as_of = plain(ended.manifest.taken_at)
    say(f"{path} holds {number_of(files, 'file')}, as the warehouse was at {as_of}; {written:,} of them were written now.")
    if not masked:
        say("They hold personal data: keep them as secret as the warehouse.")


def _require_parquet() -> None:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet files are written by pyarrow, which is not installed here.",
            safe="Nothing was written.",
            hint='Install it: pip install "call-warehouse[parquet]" (from a checkout: pip install ".[parquet]")',
        ) from error
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # which gives memory back at once: a fifth less is held


def _document(path: Path, ended: Exported) -> dict[str, object]:
    told = ended.manifest
    return {
        "directory": str(path),
        "masked": told.masked,
        "schema": told.schema,
        "reporting_timezone": told.reporting_timezone,
        "taken_at": told.taken_at,
        "mark": told.mark,
        "relations": [one._asdict() for one in ended.relations],
    }
