"""Holds `etl export` to harming nothing: folders that are somebody else's, in use, full, or left by what was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from etl.errors import AlreadyRunning, ExportFailed, UsageError
from etl.warehouse.database import Database
from etl.warehouse.export.folder import Folder, held
from etl.warehouse.export.manifest import Manifest
from tests.warehouse.export.conftest import Life
from tests.warehouse.export.folders import assert_exact, changed, exported, written
from tests.warehouse.export.test_content import DEFAULTS


def test_another_export_into_the_same_folder_is_refused(life: Life, tmp_path: Path) -> None:
    """It ends with exit code 3; the first one goes on."""
    with held(tmp_path), pytest.raises(AlreadyRunning) as caught:
        exported(life.database, tmp_path)
    assert (caught.value.exit_code, str(tmp_path) in caught.value.happened) == (3, True)
    exported(life.database, tmp_path)


STRANGERS: dict[str, Any] = {
    "not JSON": "manifest of a ship",
    "another kind": {"kind": "web app", "format": 1},
    "a list": [1],
    "damaged": {"kind": "call warehouse export", "format": 1},
    "newer": {"kind": "call warehouse export", "format": 2},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_manifest_that_is_none_of_ours_is_left_alone(life: Life, tmp_path: Path, stranger: str) -> None:
    """Exit code 2, with the name of the file; nothing is written beside it."""
    manifest = tmp_path / "manifest.json"
    text = STRANGERS[stranger] if isinstance(STRANGERS[stranger], str) else json.dumps(STRANGERS[stranger])
    manifest.write_text(text)
    with pytest.raises(UsageError, match=r"manifest\.json"):
        exported(life.database, tmp_path)
    assert manifest.read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "manifest.json"]


def test_parquet_files_that_no_manifest_tells_of_are_left_alone(life: Life, tmp_path: Path) -> None:
    """They would be read together with ours."""
    theirs = tmp_path / "call_facts" / "mine.parquet"
    theirs.parent.mkdir()
    theirs.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="call_facts holds Parquet files"):
        exported(life.database, tmp_path)
    assert theirs.read_bytes() == b"PAR1"


def test_a_folder_of_another_warehouse_is_left_alone(life: Life, empty_database: Database, tmp_path: Path) -> None:
    """An export of a trial never replaces that of the real one."""
    from etl.warehouse import schema

    exported(life.database, tmp_path)
    before = written(tmp_path)
    schema.migrate(empty_database)
    with pytest.raises(UsageError, match="of another warehouse"):
        exported(empty_database, tmp_path)
    assert changed(before, tmp_path) == set()


@pytest.mark.parametrize("masked", [True, False])
def test_a_masked_folder_never_becomes_a_full_one_nor_the_other_way_round(life: Life, tmp_path: Path, masked: bool) -> None:
    """Who may read it was told otherwise."""
    exported(life.database, tmp_path, masked=masked)
    before = written(tmp_path)
    with pytest.raises(UsageError, match="folder"):
        exported(life.database, tmp_path, masked=not masked)
    assert changed(before, tmp_path) == set()


def test_a_relation_that_cannot_be_exported_is_named(life: Life, tmp_path: Path) -> None:
    """No folder is made for it."""
    with pytest.raises(UsageError, match="no export of people, sync"):
        exported(life.database, tmp_path / "new", "sync", "call_facts", "people")
    assert not (tmp_path / "new").exists()


def test_a_place_where_no_folder_can_be_is_named(life: Life, tmp_path: Path) -> None:
    """A file, or a folder in one."""
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/folder"):
        with pytest.raises(UsageError, match="cannot be written"):
            exported(life.database, tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_new_folder_is_its_owners(life: Life, tmp_path: Path) -> None:
    """The rights of one that is there already are left as they are."""
    (tmp_path / "there").mkdir(mode=0o755)
    for name in ("there", "new"):
        exported(life.database, tmp_path / name, "calls_daily")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("there", "new")] == [0o755, 0o700]


def test_what_was_put_in_place_before_a_failure_is_made_again(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are new, and the last manifest could not be written; then the warehouse is as it was before."""
    exported(life.database, tmp_path)
    spoil = "UPDATE sync.calls_daily SET calls = calls + {} WHERE connection = 'one' AND day < '2026-02-01'"
    life.execute(spoil.format(1))
    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", FailsTheSecondTime())
        with pytest.raises(ExportFailed) as caught:
            exported(life.database, tmp_path)
    assert caught.value.exit_code == 1
    place = tmp_path / "calls_daily/connection=one/2026-01.parquet"
    now = sum(pq.read_table(place, partitioning=None)["calls"].to_pylist())
    life.execute(spoil.format(-1))
    ended = exported(life.database, tmp_path)
    assert sum(pq.read_table(place, partitioning=None)["calls"].to_pylist()) < now
    assert sum(one.written for one in ended.relations) == 1
    assert_exact(life.database, tmp_path, DEFAULTS)


class FailsTheSecondTime:
    """Writes a folder's manifest once; then the disk is full."""

    def __init__(self) -> None:
        self.written = False
        self.write = Folder.write

    def __get__(self, folder: Folder, _kind: type) -> Any:
        def write(told: Manifest) -> None:
            if self.written:
                raise OSError(28, "No space left on device")
            self.written = True
            self.write(folder, told)

        return write
