"""Knows the calls in the languages of the rivals that read no API: made once from the same file that the page server serves."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.dataset import Dataset

_INSTANT = {"type": ["string", "null"], "format": "date-time"}
_WHOLE = {"type": ["integer", "null"]}
SCHEMA = {
    "type": "SCHEMA",
    "stream": "call_usage",
    "key_properties": ["id"],
    "schema": {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "started_at": _INSTANT,
            "ended_at": _INSTANT,
            "duration_seconds": _WHOLE,
            "call_participations": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": {
                        "id": _WHOLE,
                        "joined_at": _INSTANT,
                        "left_at": _INSTANT,
                        "user": {"type": ["object", "null"], "properties": {"email": {"type": ["string", "null"]}}},
                    },
                },
            },
        },
    },
}
STATE_EVERY = 1000
"""A tap tells its state about once a page."""


def as_jsonl(records: Path) -> Path:
    """Return the calls as lines of JSON."""
    file = records.with_suffix(".jsonl")
    if not file.exists():
        data = Dataset(records)
        with file.with_suffix(".making").open("wb") as out:
            out.writelines(line + b"\n" for line in data.lines(data.outline.calls))
        file.with_suffix(".making").rename(file)
    return file


def as_singer(records: Path) -> Path:
    """Return the calls as the messages of a Singer tap: the schema, records, and a state after each page."""
    file = records.with_suffix(".singer")
    if not file.exists():
        data = Dataset(records)
        with file.with_suffix(".making").open("wb") as out:
            out.write(json.dumps(SCHEMA).encode() + b"\n")
            for number, line in enumerate(data.lines(data.outline.calls), 1):
                out.write(b'{"type":"RECORD","stream":"call_usage","record":' + line + b"}\n")
                if number % STATE_EVERY == 0:
                    out.write(b'{"type":"STATE","value":{"read":%d}}\n' % number)
        file.with_suffix(".making").rename(file)
    return file
