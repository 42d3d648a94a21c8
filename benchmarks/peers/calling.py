"""Knows how each rival is called: its command, what it reads, and where its calls end up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.dataset import lasting, make
from benchmarks.peers.files import as_jsonl, as_singer
from benchmarks.postgres import Lane
from benchmarks.serving import Pages

_HERE = Path(__file__).parent
DLT_SETTINGS = {
    # One process for each core while records are normalised, which needs more than one file of extracted records.
    "NORMALIZE__WORKERS": "2",
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "10000",
    "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "100000",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a rival works: its environment, a folder for what it writes, lasting files, its database, the page server."""

    home: Path
    scratch: Path
    data: Path
    lane: Lane
    pages: Pages
    calls: int

    @property
    def records(self) -> Path:
        """The file of the calls."""
        return make(lasting("tuple", self.calls), self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A command to be measured, and the table that must hold the calls afterwards; not all read the API."""

    command: list[str]
    table: str
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: Path | None = None
    reads_api: bool = False


def _dlt(place: Place, *, strategy: str, files: str) -> Call:
    settings = {
        "url": place.pages.url("tuple"),
        "token": f"first-{place.calls}",
        "folder": str(place.scratch),
        "credentials": place.lane.uri,
        "strategy": strategy,
        "files": files,
    }
    command = [str(place.home / "bin" / "python"), str(_HERE / "dlt_load.py"), json.dumps(settings)]
    return Call(command=command, table="calls.call_usage", env=DLT_SETTINGS, reads_api=True)


def _singer(place: Place) -> Call:
    config = place.scratch / "config.json"
    settings = {
        "sqlalchemy_url": place.lane.url,
        "default_target_schema": "calls",
        "use_copy": True,
        "batch_size_rows": 100_000,
        "validate_records": False,
        "add_record_metadata": False,
        "activate_version": False,
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    return Call(
        command=[str(place.home / "bin" / "target-postgres"), "--config", str(config)],
        table="calls.call_usage",
        stdin=as_singer(place.records),
    )


def _ingestr(place: Place) -> Call:
    command = [str(place.home / "bin" / "ingestr"), "ingest", "--yes", "--progress", "log"]
    command += ["--source-uri", f"jsonl://{as_jsonl(place.records)}", "--source-table", "call_usage"]
    command += ["--dest-uri", place.lane.uri_by_parameter, "--dest-table", "calls.call_usage"]
    command += ["--incremental-strategy", "merge", "--primary-key", "id"]
    return Call(command=command, table="calls.call_usage", env={"INGESTR_DISABLE_TELEMETRY": "true"})


CALLERS: dict[str, Callable[[Place], Call]] = {
    "dlt": lambda place: _dlt(place, strategy="delete-insert", files="parquet"),
    "dlt_upsert": lambda place: _dlt(place, strategy="upsert", files="parquet"),
    "dlt_csv": lambda place: _dlt(place, strategy="delete-insert", files="csv"),
    "singer": _singer,
    "ingestr": _ingestr,
}
