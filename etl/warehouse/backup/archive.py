"""
The file: a ZIP archive with one member per table, in the text format of COPY, and a manifest with counts and checksums.

Written and read as a stream, so its size does not matter. Knows nothing of databases.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import msgspec

from etl.errors import BackupFailed, UsageError
from etl.warehouse.backup.place import beside

KIND = "call warehouse backup"
FORMAT = 1
"""The newest form of the file that this program reads; it writes no other."""

CHUNK = 2**20  # bytes
LEVEL = 3  # of zlib: faster than its default, for files that are a little larger
MANIFEST = "manifest.json"
README = "read-me-first.txt"
_SIGNATURE = b"PK\x03\x04"
_README_AT = slice(30, 30 + len(README))  # where the first member's name stands in every ZIP file
_README_TEXT = """This is a backup of a call warehouse, made by `etl backup`.
It holds personal data: keep it as secret as the calls.
`etl restore FILE` brings it into an empty database of PostgreSQL 14 or newer.
Each table is a member below tables/, in the text format of PostgreSQL's COPY; manifest.json names the columns.
"""
_DAMAGE = (BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError, OverflowError)
"""What Python's archives and msgspec raise on damaged input."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One table (`sync.runs`): its columns in the order of the values, and what its member must hold."""

    table: str
    columns: tuple[str, ...]
    rows: int
    sha256: str

    @property
    def member(self) -> str:
        """The name of its member in the archive."""
        return f"tables/{self.table}.copy"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the file holds, and which versions wrote it. `sequences`: the last number given out, by table and column."""

    kind: str
    format: int
    program: str
    schema: str
    server: str
    taken_at: datetime
    reporting_timezone: str
    tables: tuple[Part, ...]
    sequences: dict[str, int | None]

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows by table."""
        return {part.table: part.rows for part in self.tables}


class _Head(msgspec.Struct):
    """What every form of the manifest has."""

    kind: str
    format: int
    program: str


class Writer:
    """Writes the members of a file that is being made."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def table(self, name: str, columns: tuple[str, ...], chunks: Iterable[bytes]) -> Part:
        """Write the rows of a table, each ending with a newline, and return what was written."""
        part = Part(table=name, columns=columns, rows=0, sha256="")
        digest, rows = sha256(), 0
        with self._archive.open(part.member, "w", force_zip64=True) as member:
            for chunk in chunks:
                digest.update(chunk)
                rows += chunk.count(b"\n")  # COPY writes a newline within a value as \n
                member.write(chunk)
        return Part(table=name, columns=columns, rows=rows, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, without which the file is none."""
        self.text(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))

    def text(self, name: str, content: bytes) -> None:
        """Write a small member."""
        with self._archive.open(name, "w") as member:
            member.write(content)


class Reader:
    """Reads the members of a file whose manifest this program understands."""

    def __init__(self, path: Path, archive: ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def chunks(self, part: Part) -> Iterator[bytes]:
        """Yield the rows of a table in pieces; raise BackupFailed if they are not those that were written."""
        digest, rows = sha256(), 0
        with _intact(self.path):
            member = self._archive.open(part.member)
        with member:
            while True:
                with _intact(self.path):
                    chunk = member.read(CHUNK)
                if not chunk:
                    break
                digest.update(chunk)
                rows += chunk.count(b"\n")
                yield chunk
        if (rows, digest.hexdigest()) != (part.rows, part.sha256):
            raise damaged(self.path, f"{part.table} is not as it was written")


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """
    Write a backup beside `path` and put it in its place when the block ends; if the block fails, nothing is left of it.

    Raises UsageError where nothing can be written there, or where a file stands that is no backup; BackupFailed if the disk
    becomes full.
    """
    _refuse_to_replace(path)
    with beside(path) as file, ZipFile(file, "w", ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        writer = Writer(archive)
        writer.text(README, _README_TEXT.encode())
        yield writer


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """
    Open a backup.

    Raises UsageError if it cannot be opened or is none, BackupFailed if it is damaged or of a newer program.
    """
    with _opened(path) as file:
        if not _is_ours(file):
            raise UsageError(
                f"{path} is not a backup of a call warehouse.",
                safe="Nothing was changed.",
                hint="Name a file that `etl backup` wrote. A dump of pg_dump goes into an empty database by pg_restore.",
            )
        with _intact(path):
            archive = ZipFile(file)
        with archive:
            with _intact(path):
                written = archive.read(MANIFEST)
                head = msgspec.json.decode(written, type=_Head)
            if head.format > FORMAT:
                raise newer(path, head.program)
            with _intact(path):
                manifest = msgspec.json.decode(written, type=Manifest)
            yield Reader(path, archive, manifest)


def newer(path: Path, program: str) -> BackupFailed:
    """Return the error that a newer program wrote the file."""
    return BackupFailed(
        f"{path} was written by call-warehouse {program}, which is newer than this program.",
        safe="Nothing was changed.",
        hint=f"Upgrade call-warehouse here to {program} or newer, then restore again.",
    )


def damaged(path: Path, how: str) -> BackupFailed:
    """Return the error that the file is not as it was written."""
    return BackupFailed(
        f"{path} is damaged or incomplete: {how}.",
        safe="The target is as it was: a restore is all or nothing.",
        hint="Copy the file again from where it was made (compare sha256sum on both sides), or restore another backup.",
    )


@contextmanager
def _intact(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, OSError, msgspec.MsgspecError) as error:
        raise damaged(path, (isinstance(error, OSError) and error.strerror) or "it cannot be unpacked") from error


def _opened(path: Path) -> IO[bytes]:
    try:
        file = path.open("rb")
        os.lseek(file.fileno(), 0, os.SEEK_END)  # a pipe is no file to look around in
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.",
            safe="Nothing was changed.",
            hint="Name a file that `etl backup` wrote and that this account may read.",
        ) from error
    return file


def _is_ours(file: IO[bytes]) -> bool:
    file.seek(0)
    start = file.read(_README_AT.stop)
    file.seek(0)
    return start.startswith(_SIGNATURE) and start[_README_AT] == README.encode()


def _refuse_to_replace(path: Path) -> None:
    """Raise UsageError if something stands at `path` that is neither empty nor a backup."""
    try:
        if not path.exists() or (path.is_file() and path.stat().st_size == 0):
            return
        if path.is_file():
            with path.open("rb") as file:
                if _is_ours(file):
                    return
        what = "is a folder" if path.is_dir() else "exists already, and is no backup"
    except OSError as error:
        what = f"cannot be looked at: {error.strerror}"
    raise UsageError(f"{path} {what}.", safe="It was left as it is.", hint="Name another file: etl backup FILE")
