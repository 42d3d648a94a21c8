"""A disk that becomes full: the server's reason is told, wherever in its life it meets it, and not what it says at its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl import embedded
from etl.errors import WarehouseError
from tests.embedded.conftest import as_root, ask

ENDING = """
LOG:  starting PostgreSQL 18.1
FATAL:  the database system is not yet accepting connections
{reason}
LOG:  startup process (PID 11672) exited with exit code 1
LOG:  terminating any other active server processes
LOG:  shutting down due to startup process failure
LOG:  database system is shut down
"""


def programs(place: Path, log: str) -> Path:
    """Return a folder of programs whose server only writes a log."""
    folder = place / "bin"
    folder.mkdir()
    (folder / "log").write_text(log)
    scripts = {
        "postgres": f'[ "$1" = --version ] && echo "postgres (PostgreSQL) 18.1" && exit; cat "{folder}/log" >&2; exit 1',
        "pg_ctl": "exit 1",
        "initdb": "exit 1",
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (
            'FATAL:  could not write to file "pg_wal/xlogtemp.11672": No space left on device',
            "no space is left on the disk of {home} (No space left on device).",
        ),
        ('PANIC:  could not write to file "x": Disk quota exceeded', "no space is left on the disk of {home}"),
        ("PANIC:  could not locate a valid checkpoint record", "PANIC:  could not locate a valid checkpoint record"),
    ],
)
def test_the_reason_is_told_and_not_the_end(home: Path, place: Path, reason: str, told: str) -> None:
    """A server that fails to start says why, and then a lot about how it ends."""
    with (
        pytest.raises(WarehouseError) as failed,
        embedded.server(data_dir=home, bin_dir=programs(place, ENDING.format(reason=reason))),
    ):
        pass

    assert failed.value.happened.startswith(f"The embedded server could not be started: {told.format(home=home)}")
    assert "shut down" not in failed.value.happened
    assert ("Make room" in failed.value.hint) == ("no space" in told)


# ── The real thing ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def disk(place: Path) -> Iterator[Path]:
    """Give a small disk of its own."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m,mode=755", "tmpfs", str(place)], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, *, but: int = 0) -> None:
    """Fill a disk, leaving so many bytes."""
    file = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        os.truncate(file, os.fstat(file).st_size - but)
    finally:
        os.close(file)


@as_root
@pytest.mark.parametrize("room", [0, 20 * 2**20], ids=["none", "too little"])
def test_data_that_cannot_be_made(disk: Path, room: int) -> None:
    """What is half made is removed, and once there is room the data is made."""
    fill(disk, but=room)

    with (
        pytest.raises(WarehouseError, match="no space is left on the disk of") as failed,
        embedded.server(data_dir=disk / "home"),
    ):
        pass

    assert failed.value.hint.startswith(f"Make room on that disk (df {disk}/home ")
    (disk / "filler").unlink()
    with embedded.server(data_dir=disk / "home") as server:
        assert ask(server, "SELECT 42") == 42


@as_root
def test_a_disk_that_becomes_full_while_the_server_runs(disk: Path) -> None:
    """It may die of that, and cannot recover until there is room; then everything that was committed is there."""
    with embedded.server(data_dir=disk / "home") as server, psycopg.connect(server.conninfo, autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT repeat(md5(n::text), 20) AS x FROM generate_series(1, 10000) AS n")
        fill(disk)
        with pytest.raises(psycopg.Error):
            session.execute("INSERT INTO kept SELECT * FROM kept")
    fill(disk)  # what its end has freed

    with (
        pytest.raises(WarehouseError, match="could not be started: no space is left on the disk of"),
        embedded.server(data_dir=disk / "home"),
    ):
        pass

    (disk / "filler").unlink()
    with embedded.server(data_dir=disk / "home") as server:
        assert ask(server, "SELECT count(*) FROM kept") == 10000
