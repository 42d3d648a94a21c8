"""`etl backup` and `etl restore` as processes: what they say, and what is left when they are killed in the middle."""

from __future__ import annotations

import json
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, content, execute, hourly, rows, wait_until
from tests.acceptance.stage import quiet_history

LOCK = 20261126


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program over a warehouse with 12 calls of each provider."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program, calls=12)
        assert program.run("sync").code == 0
        yield program


def waiting(lock: str) -> str:
    """Ask whether somebody waits for a lock of this kind in this database."""
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    return f"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = '{lock}' AND {here})"


def test_what_they_say(program: Program, empty_database_url: str) -> None:
    """One sentence of what is in the file, the names of both; a second restore is refused."""
    file = program.folder / "warehouse.backup"
    source = program.url
    made = program.run("backup", str(file))
    program.url = empty_database_url
    program.environment["ETL_WAREHOUSE__REPORTING_TIMEZONE"] = "Europe/Berlin"

    restored, again = program.run("restore", str(file)), program.run("restore", str(file))

    held = r"48 calls, \d+ rows in \d+ tables, schema \d+"
    assert (made.code, made.err) == (0, "")
    first, second = made.out.splitlines()
    assert re.fullmatch(rf"Wrote {re.escape(str(file))}: {held}; 0\.\d MB\.", first)
    assert second == "It holds personal data: keep it as secret as the warehouse."
    assert restored.code == 0
    assert re.fullmatch(rf"Restored {re.escape(str(file))}, of [\d\-T:.]+Z: {held}\.\n", restored.out)
    (remark,) = restored.lines
    ends, _, wanted = remark.partition(", as in the file, though ")
    assert ends == "The calls' days end at midnight UTC"
    assert wanted == "warehouse.reporting_timezone is Europe/Berlin. Set it to UTC."
    assert content(empty_database_url) == content(source or "")
    name = make_url(empty_database_url).database
    assert (again.code, again.out, again.lines[1]) == (2, "", "Nothing was changed.")
    holding = f"The warehouse at postgresql+psycopg://postgres@/{name} holds data already "
    assert re.fullmatch(re.escape(holding) + r"\((\w+, )*calls(, \w+)*\)\.", again.lines[0])
    assert again.lines[2].startswith("Make an empty database (CREATE DATABASE warehouse2 ENCODING 'UTF8' TEMPLATE template0;)")


def test_a_restore_that_is_killed_in_the_middle(program: Program, empty_database_url: str) -> None:
    """Calls were copied already; after `kill -9` none is there, and the restore is done again."""
    file = program.folder / "warehouse.backup"
    source, program.url = program.url or "", empty_database_url
    assert program.run("migrate").code == 0
    body = f"BEGIN PERFORM pg_advisory_lock({LOCK}); RETURN NEW; END"
    blocking = f"CREATE FUNCTION public.block() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
    execute(empty_database_url, blocking)
    execute(empty_database_url, "CREATE TRIGGER block BEFORE INSERT ON sync.runs FOR EACH ROW EXECUTE FUNCTION public.block()")
    before = content(empty_database_url)
    program.url = source
    assert program.run("backup", str(file)).code == 0
    program.url = empty_database_url
    with psycopg.connect(empty_database_url, autocommit=True) as blocker:
        blocker.execute(f"SELECT pg_advisory_lock({LOCK})")
        process = program.start("restore", str(file))
        wait_until(empty_database_url, waiting("advisory"))

        process.send_signal(signal.SIGKILL)
        assert program.wait(process).code == -signal.SIGKILL

    ours = "datname = current_database() AND application_name = 'call-warehouse'"
    wait_until(empty_database_url, f"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {ours})")
    assert content(empty_database_url) == before
    execute(empty_database_url, "DROP TRIGGER block ON sync.runs")
    execute(empty_database_url, "DROP FUNCTION public.block()")
    assert program.run("restore", str(file)).code == 0
    assert content(empty_database_url) == content(source)


def test_a_backup_that_is_killed_in_the_middle(program: Program) -> None:
    """The backup of before is whole, and what the killed one left goes with the next."""
    folder = program.folder / "backups"
    folder.mkdir()
    file = folder / "warehouse.backup"
    assert program.run("backup", str(file)).code == 0
    before = file.read_bytes()
    with psycopg.connect(program.url or "") as blocker:
        blocker.execute("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        process = program.start("backup", str(file))
        wait_until(program.url or "", waiting("relation"))
        assert len(list(folder.iterdir())) == 2

        process.send_signal(signal.SIGKILL)
        assert program.wait(process).code == -signal.SIGKILL

    assert file.read_bytes() == before and len(list(folder.iterdir())) == 2
    assert program.run("backup", str(file)).code == 0
    assert [path.name for path in folder.iterdir()] == ["warehouse.backup"]


def test_a_place_that_takes_no_more(program: Program) -> None:
    """A disk that is full, or a limit on the size of files: the words of the system, exit code 1, and nothing is left."""
    folder = program.folder / "backups"
    folder.mkdir()

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ended = program.run("backup", str(folder / "warehouse.backup"), preexec_fn=little)

    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            f"The backup {folder}/warehouse.backup cannot be written: File too large.",
            "The warehouse was only read. What was begun is removed; an earlier backup of that name is as it was.",
            "Make room there, or name a file on another disk, and run it again.",
        ],
    )
    assert list(folder.iterdir()) == []


def test_a_file_of_a_newer_version_of_the_schema(program: Program, empty_database_url: str) -> None:
    """It is refused before the database is touched, and the version to upgrade to is named."""
    import zipfile

    file = program.folder / "warehouse.backup"
    assert program.run("backup", str(file)).code == 0
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"]) | {"schema": "9999", "program": "9.0.0"}
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in (members | {"manifest.json": json.dumps(manifest).encode()}).items():
            archive.writestr(name, member)
    program.url = empty_database_url

    ended = program.run("restore", str(file))

    assert (ended.code, ended.lines[0]) == (
        1,
        f"{file} was written by call-warehouse 9.0.0, which is newer than this program.",
    )
    assert rows(empty_database_url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sync'") == [(0,)]
