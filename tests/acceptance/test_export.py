"""`etl export` as its users meet it: what it says, its exit codes, and what is left when it is killed at any moment."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse.database import Database
from tests.acceptance.process import Program, execute, wait_until
from tests.acceptance.stage import quiet_history
from tests.warehouse.export.folders import content, exported, files_of

RELATIONS = ("call_facts", "calls_daily")

WAITING = """
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""

# The program, which kills itself when it is about to change the folder for the time after so many.
MORTAL = """
import os, pathlib, signal, sys
left = int(sys.argv.pop(1))

def mortal(act):
    def acting(*given, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(*given, **named)
    return acting

os.fsync = mortal(os.fsync)
for name in ("replace", "unlink", "rmdir"):
    setattr(pathlib.Path, name, mortal(getattr(pathlib.Path, name)))

from etl.cli import main
main()
"""


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with calls of Salpre in three months, loaded."""
    history = quiet_history()
    for place in range(9):
        history.add("salpre", at=history.now - timedelta(days=9 * place + 1))
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        assert program.run("sync").code == 0
        yield program


def test_what_it_says(program: Program) -> None:
    """A table of relations and one sentence of all files; for machines one document; the second time nothing is written."""
    folder = program.folder / "calls"
    first, second = program.run("export", str(folder), *RELATIONS), program.run("export", str(folder), *RELATIONS, "--json")

    files = len(files_of(folder))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (first.code, first.err) == (0, "")
    assert first.table[0] == ["relation", "rows", "files", "written", "removed", "MB"]
    assert [line[0] for line in first.table[1:3]] == list(RELATIONS)
    written, secret = first.out.splitlines()[-2:]
    assert written.startswith(f"{folder} holds {files} files, as the warehouse was at 20")
    assert written.endswith(f"; {files} of them were written now.")
    assert secret == "They hold personal data: keep them as secret as the warehouse."
    told = second.json
    assert (second.code, told["directory"], told["masked"], told["reporting_timezone"]) == (0, str(folder), False, "UTC")
    assert {key: told[key] for key in ("schema", "mark", "taken_at")} == {
        key: manifest[key] for key in ("schema", "mark", "taken_at")
    }
    assert [(one["relation"], one["written"], one["removed"]) for one in told["relations"]] == [
        (relation, 0, 0) for relation in RELATIONS
    ]
    assert sum(one["files"] for one in told["relations"]) == files


def test_masked_says_nothing_of_secrets(program: Program) -> None:
    """And the other kind of export is refused in the same folder, with exit code 2."""
    folder = program.folder / "calls"
    masked, full = program.run("export", str(folder), "--masked"), program.run("export", str(folder))
    assert (masked.code, "secret" in masked.out) == (0, False)
    assert (full.code, full.lines[0]) == (2, f"{folder} holds an export masked, and this one is in full.")


def test_without_pyarrow_it_says_what_to_install(program: Program) -> None:
    """Exit code 2; no folder is made."""
    hidden = program.folder / "hidden"
    (hidden / "pyarrow").mkdir(parents=True)
    (hidden / "pyarrow" / "__init__.py").write_text("raise ImportError")
    program.environment["PYTHONPATH"] = str(hidden)
    ended = program.run("export", str(program.folder / "calls"))
    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            "Parquet files are written by pyarrow, which is not installed here.",
            "Nothing was written.",
            'Install it: pip install "call-warehouse[parquet]" (from a checkout: pip install ".[parquet]")',
        ],
    )
    assert not (program.folder / "calls").exists()


def test_two_at_once(program: Program, database_url: str) -> None:
    """The second one ends with exit code 3, and the first one goes on."""
    folder = program.folder / "calls"
    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
        first = program.start("export", str(folder))
        wait_until(database_url, WAITING)
        second = program.run("export", str(program.folder / "." / "calls"))
    assert (second.code, second.lines[0]) == (3, f"Another export is writing into {folder}.")
    assert program.wait(first).code == 0
    assert len(files_of(folder)) > 10


def test_a_place_that_takes_no_more(program: Program) -> None:
    """A full disk, or a limit on the size of files: the words of the system, exit code 1, and the files as they were."""
    folder = program.folder / "calls"
    assert program.run("export", str(folder)).code == 0
    before = content(folder)
    execute(program.url or "", "UPDATE calls SET end_reason = 'other', changed_at = now()")

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    ended = program.run("export", str(folder), preexec_fn=little)
    assert (ended.code, ended.out, ended.lines) == (
        1,
        "",
        [
            f"The export into {folder} cannot be written: File too large.",
            "The warehouse was only read; every file in the folder is whole, of before or new.",
            "Make room there, or name a folder on another disk, and run it again.",
        ],
    )
    assert content(folder) == before and list(folder.rglob("*.unfinished")) == []
    assert program.run("export", str(folder)).code == 0
    assert content(folder) != before


def test_killed_at_any_moment(program: Program, database_url: str) -> None:
    """Before every second change: each file is whole, of before or new; the next export leaves nothing of the killed one."""
    folder, full = program.folder / "calls", program.folder / "full"
    with Database(database_url) as database:
        exported(database, program.folder / "before", *RELATIONS)
        before = content(program.folder / "before")
        months = sorted({Path(place).stem for place in before})
        execute(database_url, f"DELETE FROM calls WHERE to_char(day, 'YYYY-MM') = '{months[0]}'")
        last = f"to_char(day, 'YYYY-MM') = '{months[-1]}'"
        execute(database_url, f"UPDATE calls SET agent_id = 'other', changed_at = now() WHERE {last}")
        execute(database_url, "INSERT INTO sync.touched_days SELECT DISTINCT connection, day, false FROM sync.calls_daily")
        exported(database, full, *RELATIONS)
        after = content(full)
        assert before.keys() - after.keys() and any(not after[place].equals(before[place]) for place in after)

        codes = []
        while not codes or codes[-1] != 0:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(program.folder / "before", folder)
            program.configure()
            ended = program.ask(
                sys.executable,
                "-c",
                MORTAL,
                str(2 * len(codes)),
                "--config",
                str(program.config),
                "export",
                str(folder),
                *RELATIONS,
            )
            codes.append(ended.code)
            found = content(folder)
            assert found.keys() <= before.keys()
            assert [
                place
                for place, table in found.items()
                if not (table.equals(before[place]) or (place in after and table.equals(after[place])))
            ] == []
            assert after.keys() <= found.keys()
            exported(database, folder, *RELATIONS)
            assert content(folder) == after
    assert set(codes[:-1]) == {-signal.SIGKILL} and len(codes) > 4
