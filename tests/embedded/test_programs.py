"""Which programs run the server, and under which account."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from etl import embedded
from etl.embedded.binaries import find
from etl.errors import UsageError, WarehouseError
from tests.embedded.conftest import as_root, as_user, ask, modes


def _older() -> Path:
    """Return the folder of the wheel's second set of programs."""
    return find(None, wanted=16).folder


def test_data_of_an_older_version_goes_on_with_its_programs(place: Path) -> None:
    """New data is made by the programs of the setting; without the setting, the programs that fit the data are found."""
    with embedded.server(data_dir=place / "home", bin_dir=_older()) as first:
        assert first.version.startswith("16.")
        ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert find(None, wanted=None).major == 18
    with embedded.server(data_dir=place / "home") as second:
        assert second.version == first.version
        assert ask(second, "SELECT answer FROM kept") == 42
        assert str(ask(second, "SHOW server_version")).startswith("16.")


def test_a_setting_that_does_not_fit_the_data(home: Path) -> None:
    """The data decides: programs of another version than the setting's serve it."""
    with embedded.server(data_dir=home, bin_dir=_older()) as server:
        assert server.version.startswith("18.")


@pytest.mark.parametrize(("version", "shown"), [("13", "13"), ("9.6", "9")])
def test_data_that_no_programs_fit(home: Path, version: str, shown: str) -> None:
    """The message names both versions and the way to move; the data is not touched."""
    (home / "data" / "PG_VERSION").write_text(f"{version}\n")
    before = {path: path.stat().st_mtime_ns for path in (home / "data").rglob("*")}
    with pytest.raises(WarehouseError) as failed, embedded.server(data_dir=home):
        pass
    assert f"data is of PostgreSQL {shown}, but the programs here are of " in failed.value.happened
    assert "16" in failed.value.happened and "18" in failed.value.happened
    assert f"Install PostgreSQL {shown}" in failed.value.hint and "docs/backup.md" in failed.value.hint
    assert {path: path.stat().st_mtime_ns for path in (home / "data").rglob("*")} == before


@pytest.mark.parametrize("text", ["", "eighteen\n", "\0"])
def test_data_without_a_version(home: Path, text: str) -> None:
    """A version file that was damaged is told apart from no data: nothing is made over it."""
    (home / "data" / "PG_VERSION").write_text(text)
    with pytest.raises(WarehouseError, match="the data is damaged"), embedded.server(data_dir=home):
        pass


def test_a_setting_without_programs(place: Path) -> None:
    """A folder without PostgreSQL's programs is a mistake that is told, and not passed over."""
    with (
        pytest.raises(WarehouseError, match=f"no PostgreSQL programs in {place}"),
        embedded.server(data_dir=place / "home", bin_dir=place),
    ):
        pass
    assert not (place / "home" / "data").exists()


def test_psql_is_beside_the_server(home: Path) -> None:
    """`bin_dir` has psql, and `conninfo` is what it takes."""
    with embedded.server(data_dir=home) as server:
        told = subprocess.run(
            [server.bin_dir / "psql", server.conninfo, "-Atc", "SELECT current_database()"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout == "warehouse\n"


# ── As root ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@as_root
def test_programs_that_the_account_cannot_read_are_copied(place: Path) -> None:
    """The copy is made once, holds what the programs load, and no permission of the original is changed."""
    found = find(None, wanted=18)
    private = place / "private" / found.root.parent.name  # programs of a wheel know the name of the folder beside
    shutil.copytree(found.root, private / "pginstall", symlinks=True)
    for libraries in found.with_it:
        shutil.copytree(libraries, private.with_name(libraries.name))
    for path in (private.parent, private / "pginstall" / "bin" / "postgres"):
        path.chmod(0o700)
    before = modes(*private.parent.rglob("*"), private.parent)
    home = place / "home"
    with embedded.server(data_dir=home, bin_dir=private / "pginstall" / "bin") as first:
        assert first.bin_dir.is_relative_to(home / "programs")
        assert ask(first, "SELECT 42") == 42
    (home / "programs" / "unfinished-x").mkdir()
    with embedded.server(data_dir=home, bin_dir=private / "pginstall" / "bin") as second:
        assert second.bin_dir == first.bin_dir
    assert modes(*private.parent.rglob("*"), private.parent) == before


@as_root
def test_only_an_installation_is_copied(place: Path) -> None:
    """Programs that the account cannot run, beside other things that may be private, are refused and not copied."""
    private = place / "private"
    private.mkdir(mode=0o700)
    for name in ("postgres", "initdb"):
        (private / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n")
        (private / name).chmod(0o755)
    with (
        pytest.raises(WarehouseError, match="cannot run the programs in"),
        embedded.server(data_dir=place / "home", bin_dir=private),
    ):
        pass
    assert not (place / "home" / "programs").exists()


@as_root
def test_data_stays_with_its_account(place: Path) -> None:
    """Data that was made under one account is served under it, whatever the best one would be; another one is refused."""
    home = place / "home"
    with embedded.server(data_dir=home, run_as="daemon") as first:
        ask(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.server(data_dir=home) as second:
        assert ask(second, "SELECT answer FROM kept") == 42
        assert (home / "data").stat().st_uid == (home / "socket").stat().st_uid == 1
    with pytest.raises(WarehouseError, match="run_as is nobody, but the embedded server's data belongs to the user 1"):
        embedded.server(data_dir=home, run_as="nobody").__enter__()


@as_root
def test_data_that_an_unknown_account_owns(home: Path) -> None:
    """Where no account can serve the data, the message says so."""
    os.chown(home / "data", 54_321, 54_321)
    with pytest.raises(WarehouseError, match="belongs to the user 54321, root or unknown here"), embedded.server(data_dir=home):
        pass


@as_root
@pytest.mark.parametrize("name", ["root", "no-such-account"])
def test_an_account_that_cannot_serve(place: Path, name: str) -> None:
    """Root and unknown accounts are refused as a mistake of the configuration; nothing is made."""
    with (
        pytest.raises(UsageError, match=f"run_as is {name}, which is not an unprivileged account"),
        embedded.server(data_dir=place / "home", run_as=name),
    ):
        pass
    assert list(place.iterdir()) == []


@as_user
def test_only_root_can_choose_the_account(place: Path) -> None:
    """An ordinary user who names another account is told that it cannot be."""
    with pytest.raises(UsageError, match="only root can run"), embedded.server(data_dir=place / "home", run_as="nobody"):
        pass
    assert list(place.iterdir()) == []
