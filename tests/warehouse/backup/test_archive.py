"""The file: written as a whole or not at all, and refused when a single byte of what it says is not as it was written."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from etl.errors import BackupFailed, UsageError
from etl.warehouse.backup.archive import FORMAT, KIND, MANIFEST, Manifest, reading, writing

ROWS = [b"a\t1\n" * 1000, b"\\N\t2\n"]
SEED = 20261126


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a backup of one table."""
    place = tmp_path / "warehouse.backup"
    write(place)
    return place


def write(place: Path, rows: Iterator[bytes] | list[bytes] = ROWS) -> Manifest:
    """Write a backup of one table."""
    with writing(place) as writer:
        part = writer.table("public.calls", ("call_id", "n"), rows)
        manifest = Manifest(
            kind=KIND,
            format=FORMAT,
            program="0.1.0",
            schema="0003",
            server="18.1",
            taken_at=datetime(2026, 3, 1, tzinfo=UTC),
            reporting_timezone="UTC",
            tables=(part,),
            sequences={"sync.runs.id": 7},
        )
        writer.finish(manifest)
    return manifest


def read(place: Path) -> tuple[Manifest, bytes]:
    """Read a backup to its end."""
    with reading(place) as reader:
        return reader.manifest, b"".join(b"".join(reader.chunks(part)) for part in reader.manifest.tables)


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_read(file: Path) -> None:
    """The manifest and every byte; other programs can look into it too."""
    written = write(file)

    manifest, content = read(file)

    assert (manifest, content) == (written, b"".join(ROWS))
    assert manifest.rows == {"public.calls": 1001}
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["read-me-first.txt", "tables/public.calls.copy", MANIFEST]
        assert b"etl restore" in archive.read("read-me-first.txt")


def test_no_damage_passes(file: Path) -> None:
    """A byte that is changed anywhere is noticed, or was one that says nothing (an instant, a permission)."""
    whole, content = file.read_bytes(), read(file)
    chance = random.Random(SEED)
    refused = 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        try:
            assert read(file) == content, f"byte {place} (seed {SEED})"
        except (BackupFailed, UsageError):
            refused += 1

    assert refused > len(whole) // 2


def test_a_file_that_was_cut_off(file: Path) -> None:
    """Wherever: it is told apart from a file of somebody else's, as soon as its first name is there."""
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UsageError if length < 47 else BackupFailed) as refused:
            read(file)
        assert ("is not a backup" if length < 47 else "damaged or incomplete") in refused.value.happened
        assert "Nothing was changed" in refused.value.safe or "as it was" in refused.value.safe


def altered(file: Path, **changes: Any) -> None:
    """Change the manifest."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[MANIFEST] = msgspec.json.encode(msgspec.json.decode(members[MANIFEST]) | changes)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_file_of_a_newer_form(file: Path) -> None:
    """It names the program that wrote it, whatever else its manifest has become."""
    altered(file, format=FORMAT + 1, program="3.0.0", tables="something else")

    with pytest.raises(BackupFailed, match=r"written by call-warehouse 3\.0\.0, which is newer") as refused:
        read(file)

    assert refused.value.hint == "Upgrade call-warehouse here to 3.0.0 or newer, then restore again."


@pytest.mark.parametrize("change", [{"tables": None}, {"sequences": {"a": "b"}}, {"kind": 1}])
def test_a_manifest_that_cannot_be_understood(file: Path, change: dict[str, Any]) -> None:
    """It is damaged, and no fault of the program's."""
    altered(file, **change)

    with pytest.raises(BackupFailed, match="damaged"):
        read(file)


def a_folder(place: Path) -> None:
    place.mkdir()


def a_configuration(place: Path) -> None:
    place.write_text("[warehouse]\n")


def another_archive(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("photos/1.jpg", b"x" * 100)


@pytest.mark.parametrize("make", [a_folder, a_configuration, another_archive])
def test_what_is_no_backup_is_neither_read_nor_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A mistake in a name costs nobody a file."""
    place = tmp_path / "place"
    make(place)
    before = place.is_dir() or place.read_bytes()

    with pytest.raises(UsageError) as refused:
        read(place)
    assert (refused.value.exit_code, refused.value.safe) == (2, "Nothing was changed.")
    with pytest.raises(UsageError, match=r"is a folder|exists already, and is no backup"):
        write(place)

    assert (place.is_dir() or place.read_bytes()) == before
    assert names(tmp_path) == ["place"]


def test_what_is_not_there(tmp_path: Path) -> None:
    """The system's words, and what to name instead."""
    with pytest.raises(UsageError, match="cannot be read: No such file or directory"):
        read(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write(tmp_path / "none" / "warehouse.backup")


@pytest.mark.parametrize("earlier", [True, False])
def test_a_disk_that_becomes_full(tmp_path: Path, earlier: bool) -> None:
    """The system's words; what was begun is removed, and an earlier backup stays."""
    place = tmp_path / "warehouse.backup"
    if earlier:
        write(place)
    before = place.read_bytes() if earlier else None

    def full() -> Iterator[bytes]:
        yield ROWS[0]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BackupFailed, match="cannot be written: No space left on device") as failed:
        write(place, full())

    assert "Make room" in failed.value.hint
    assert (place.read_bytes() if earlier else None) == before
    assert names(tmp_path) == (["warehouse.backup"] if earlier else [])


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """But nothing that a living one is writing, and nobody else's file."""
    left, living, other = (tmp_path / f".{name}.unfinished" for name in ("a[1].zip-dead", "a[1].zip-living", "b.zip-dead"))
    for path in (left, living, other):
        path.write_bytes(b"something")

    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(tmp_path / "a[1].zip")

    assert names(tmp_path) == sorted([living.name, other.name, "a[1].zip"])


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file that it leads to is replaced, and the link stays."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "newest.backup"
    link.symlink_to(tmp_path / "elsewhere" / "warehouse.backup")

    write(link)

    assert link.is_symlink() and read(link)[1] == b"".join(ROWS)
    assert (tmp_path / "elsewhere" / "warehouse.backup").stat().st_mode & 0o777 == 0o600
