"""
Knows files of call records: how one is made once and kept, and how a page of it is found by arithmetic and cut out whole.

A file holds the records as JSON with commas between them, in the order of the provider's list; beside it stands where each one
begins. A page of any size is then one slice of the mapped file, and serving it costs next to nothing: the server takes no time
from what is measured.
"""

from __future__ import annotations

import array
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import records
from benchmarks.records import RECORDS, offset_ms

END_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000
"""Where the lasting files end: a fixed instant in the past, so that they never change."""

SPACING_MS = {"tuple": 10_000, "bimpe": 60_000, "salpre": 60_000, "krosai": 60_000}
_CHUNK = 20_000
_FORM = hashlib.sha256(Path(records.__file__).read_bytes()).hexdigest()[:8]
"""Changes with the records' text, so that no old file is taken for a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a file holds: so many calls of a provider, from this instant on, so far apart (milliseconds)."""

    provider: str
    calls: int
    first_ms: int
    spacing_ms: int

    def number(self, place: int) -> int:
        """Return the number of the call at a place of the file; calls are numbered from the oldest one."""
        return place if self.provider == "tuple" else self.calls - 1 - place

    def cursor(self, number: int) -> int:
        """Return where a call stands, in milliseconds since 1970."""
        return self.first_ms + offset_ms(number, self.spacing_ms)

    def first_from(self, ms: int) -> int:
        """Return the number of the first call whose cursor is at or after an instant."""
        number = max(0, min(self.calls, (ms - self.first_ms) // self.spacing_ms - 2))
        while number < self.calls and self.cursor(number) < ms:
            number += 1
        return number


def lasting(provider: str, calls: int) -> Outline:
    """Return the outline of the file that is made once for all runs."""
    spacing = SPACING_MS[provider]
    return Outline(provider=provider, calls=calls, first_ms=END_MS - calls * spacing, spacing_ms=spacing)


def recent(provider: str, calls: int, *, spacing_ms: int) -> Outline:
    """Return the outline of a file that ends now: for a run that has nothing new but calls of the last hours to look at."""
    now = int(datetime.now(UTC).timestamp()) * 1000
    return Outline(provider=provider, calls=calls, first_ms=now - (calls + 2) * spacing_ms, spacing_ms=spacing_ms)


def default_folder() -> Path:
    """Return where files are kept: below the user's cache, outside of the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path(tempfile.gettempdir())) / "call-warehouse-benchmarks"


def make(outline: Outline, folder: Path) -> Path:
    """Make the file of an outline unless it is there, whole; return its place."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{outline.provider}-{outline.calls}-{outline.first_ms}-{_FORM}.json"
    if place.with_suffix(".outline").exists():
        return place
    write, starts, position = RECORDS[outline.provider], array.array("Q", [0]), 0
    with place.open("wb") as file:
        for begin in range(0, outline.calls, _CHUNK):
            numbers = map(outline.number, range(begin, min(begin + _CHUNK, outline.calls)))
            written = [write(number, outline.cursor(number)) for number in numbers]
            for record in written:
                position += len(record) + 1
                starts.append(position)
            file.write((",".join(written) + ",").encode("ascii"))
    with place.with_suffix(".starts").open("wb") as file:
        starts.tofile(file)
    place.with_suffix(".outline").write_text(json.dumps(asdict(outline)), encoding="utf-8")  # last: now it is whole
    return place


class Dataset:
    """One file, opened: its outline, and its records by number."""

    def __init__(self, place: Path) -> None:
        self.outline = Outline(**json.loads(place.with_suffix(".outline").read_text("utf-8")))
        with place.open("rb") as file:
            self._records = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        with place.with_suffix(".starts").open("rb") as file:
            self._starts = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).cast("Q")

    def slice(self, start: int, stop: int) -> memoryview:
        """Return the records at the places from `start` up to `stop`: JSON with commas between them, without brackets."""
        if start >= stop:
            return memoryview(b"")
        return self._records[self._starts[start] : self._starts[stop] - 1]

    def record(self, place: int) -> bytes:
        """Return one record."""
        return bytes(self.slice(place, place + 1))

    def lines(self, calls: int) -> Iterator[bytes]:
        """Yield the first `calls` records."""
        return (self.record(place) for place in range(calls))
