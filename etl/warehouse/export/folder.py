"""
The folder of an export: locked while one writes, its files written beside and put in place together, its manifest last.

A process that is killed at any instant leaves whole files: those of before, or those of the new export. Before the first of
them is put in place, the manifest says which are about to be, so that the next export makes these again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from etl.errors import AlreadyRunning, ExportFailed, UsageError
from etl.warehouse.export import manifest
from etl.warehouse.export.manifest import Manifest
from etl.warehouse.export.relations import KNOWN, Part

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

MANIFEST = "manifest.json"
LOCK = ".lock"
UNFINISHED = ".unfinished"
"""How the names of files end that are being written, or whose writer was killed; readers of Parquet leave hidden files out."""

AS_IT_WAS = "The warehouse was only read; the files in the folder are as they were."


class Folder:
    """An export's folder while it is held: no other process writes into it. Paths are given by relation and part."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun: dict[Path, Path] = {}  # by the place of a file, where it is written

    def manifest(self) -> Manifest | None:
        """
        Return the manifest, None for a new folder. Raises UsageError where somebody else's files are in our places.

        What a killed process left half written is removed.
        """
        self._remove_left_ones()
        try:
            return manifest.read((self.path / MANIFEST).read_bytes(), self.path / MANIFEST)
        except FileNotFoundError:
            for name in KNOWN:
                if next((self.path / name).rglob("*.parquet"), None) is not None:
                    raise UsageError(
                        f"{self.path / name} holds Parquet files, and {self.path} has no {MANIFEST} that tells of them.",
                        safe="Nothing was written.",
                        hint="Name a folder that is empty, or new.",
                    ) from None
            return None

    def place(self, relation: str, part: Part) -> Path:
        """Return where the file of a part stands. Every character beyond letters, digits and `_.-~` is written as `%XX`."""
        return self.path / relation / f"connection={quote(part.connection, safe='')}" / f"{part.month:%Y-%m}.parquet"

    def holds(self, relation: str, part: Part, size: int) -> bool:
        """Whether a file of this size stands there; of none (0), whether there is no file."""
        try:
            return self.place(relation, part).stat().st_size == size > 0
        except FileNotFoundError:
            return not size

    @contextmanager
    def writing(self, relation: str, part: Part) -> Iterator[IO[bytes]]:
        """Give a new file beside the place of a part; at the end of the block it is on the disk."""
        place = self.place(relation, part)
        beside = place.with_name(f".{place.name}{UNFINISHED}")
        place.parent.mkdir(parents=True, exist_ok=True)
        self._begun[place] = beside
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def drop(self, relation: str, part: Part) -> None:
        """Forget what was begun to be written of a part."""
        beside = self._begun.pop(self.place(relation, part))
        beside.unlink()
        _remove_empty(beside.parent, self.path)

    def put_in_place(self, *, removed: list[Path]) -> None:
        """Put all files that were written in their places, and remove these."""
        touched = {place.parent for place in [*self._begun, *removed]}
        for place, beside in list(self._begun.items()):
            beside.replace(place)
            del self._begun[place]
        for place in removed:
            place.unlink(missing_ok=True)
        for parent in filter(Path.is_dir, touched):  # where there never was a row, there is none
            if not _remove_empty(parent, self.path):
                _sync(parent)
                _sync(parent.parent)

    def write(self, told: Manifest) -> None:
        """Write the manifest, in the place of the one that is there."""
        beside = self.path / f".{MANIFEST}{UNFINISHED}"
        with beside.open("wb") as file:
            file.write(manifest.text_of(told))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path / MANIFEST)
        _sync(self.path)

    def clear(self) -> None:
        """Remove what was begun and is not in its place."""
        for beside in self._begun.values():
            with suppress(OSError):
                beside.unlink(missing_ok=True)
                _remove_empty(beside.parent, self.path)

    def _remove_left_ones(self) -> None:
        for name in KNOWN:
            for left in (self.path / name).glob(f"*/.*{UNFINISHED}"):
                left.unlink()
                _remove_empty(left.parent, self.path)
        (self.path / f".{MANIFEST}{UNFINISHED}").unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[Folder]:
    """
    Make the folder where there is none (for its owner alone), and hold it.

    Raises UsageError where nothing can be written there, AlreadyRunning while another export writes there, ExportFailed if it
    cannot be written on; what was begun is removed then.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (path / LOCK).open("ab")
        folder = Folder(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.",
            safe="Nothing was started.",
            hint="Name a folder that this account may write: etl export DIR",
        ) from error
    with lock:
        if not _locked(lock):
            raise AlreadyRunning(
                f"Another export is writing into {path}.",
                safe="Nothing was written.",
                hint="Wait for it to end, or name another folder.",
            )
        try:
            yield folder
        except OSError as error:
            raise ExportFailed(
                f"The export into {path} cannot be written: {error.strerror or error}.",
                safe="The warehouse was only read; every file in the folder is whole, of before or new.",
                hint="Make room there, or name a folder on another disk, and run it again.",
            ) from error
        finally:
            folder.clear()


def _locked(file: IO[bytes]) -> bool:
    """Lock a file for as long as it is open; return False where somebody else has."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_empty(folder: Path, up_to: Path) -> bool:
    """Remove a folder, and those above it, as far as they are empty; return whether it was."""
    try:
        folder.rmdir()
    except OSError:
        return False
    if folder.parent != up_to:
        _remove_empty(folder.parent, up_to)
    return True


def _sync(folder: Path) -> None:
    if sys.platform == "win32":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
