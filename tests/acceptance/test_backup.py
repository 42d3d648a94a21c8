"""A warehouse that moves to another server: everything is in place there, and the next sync finds nothing to do."""

from __future__ import annotations

import re
import shlex
import stat
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from etl import embedded
from etl.embedded.binaries import find
from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import USUAL
from tests.acceptance.process import Program, content, execute, rows
from tests.acceptance.server import OwnServer
from tests.acceptance.stage import START, quiet_history
from tests.acceptance.test_rejects import TUPLE

DOCS = Path(__file__).parents[2] / "docs" / "backup.md"
SYSTEM = Path("/usr/lib/postgresql/15/bin")
OLDER = SYSTEM if SYSTEM.exists() else find(None, wanted=16).folder
"""Programs of an older PostgreSQL than the embedded server's: Debian's, else the wheel's."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give four providers with calls that differ, of which one is open; nothing happens but what the test does."""
    history = quiet_history(agents=2)
    for hours in range(2, 40, 2):
        for provider in ("tuple", "salpre", "krosai"):
            history.add(provider, number=2, at=START - timedelta(hours=hours))
        for agent in history.agents():
            history.add("bimpe", number=2, at=START - timedelta(hours=hours), agent=agent["id"])
    odd = [{key: value for key, value in TUPLE.items() if key != "id"}, TUPLE | {"unheard_of": 1}]
    history.add_records("tuple", odd, at=START - timedelta(hours=30))
    with Sandbox(history, limits=NO_LIMITS) as serving:
        yield serving


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a folder for an embedded server, which root's account can enter."""
    with tempfile.TemporaryDirectory(prefix="etl-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name) / "home"


@pytest.fixture
def moving(sandbox: Sandbox, home: Path, tmp_path: Path) -> Program:
    """Give the program over an embedded server of 18 that holds calls, older versions, a deleted one, a reject and an audit."""
    program = Program(sandbox=sandbox, url=None, folder=tmp_path, environment={"ETL_WAREHOUSE__DATA_DIR": str(home)})
    program.environment["ETL_WAREHOUSE__REPORTING_TIMEZONE"] = "Asia/Kathmandu"
    assert program.run("sync").code == 0
    history = sandbox.history
    history.advance(timedelta(minutes=5))
    changed, deleted = (call.id for call in history.living("krosai")[:2])
    history.change("krosai", changed, {"hangup_cause": "a tab\t, a \\ backslash, a\nnewline, and \u2028 more"})
    history.delete("krosai", deleted)
    assert [program.run("sync").code, program.run("audit", "telephony").code] == [0, 0]
    return program


def steps(heading: str) -> list[tuple[str, str]]:
    """Return the fenced blocks below a heading of the documentation, with their languages, without indentation."""
    section = DOCS.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```", section, re.DOTALL | re.MULTILINE)
    return [(language, textwrap.dedent(block)) for _, language, block in found]


def commands(block: str) -> list[list[str]]:
    """Return the arguments of each command `etl` of a block."""
    return [shlex.split(line)[1:] for line in block.splitlines()]


def asked(sandbox: Sandbox) -> list[tuple[str, str]]:
    """Return what was asked for since this was last called."""
    entries = sorted((entry.provider, entry.path) for provider in USUAL for entry in sandbox.requests(provider))
    sandbox.clear_requests()
    return entries


def in_place(url: str) -> list[Any]:
    """Return where each row of the analysts' tables stands, and who wrote it."""
    tables = [name for (name,) in rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]
    return [rows(url, f"SELECT '{name}', ctid::text, xmin::text FROM {name} ORDER BY 2") for name in tables]


def test_the_documented_way_to_a_server_of_ones_own(moving: Program, home: Path, tmp_path: Path) -> None:
    """
    Every step as docs/backup.md has it, from 18 to an older version.

    Every table is as it was, and the next sync asks for what a quiet one asks for, writes no row, and counts the runs on.
    """
    asked(moving.sandbox)
    assert moving.run("sync").code == 0
    quiet = asked(moving.sandbox)
    with embedded.server(data_dir=home) as server:
        before = content(server.conninfo)
        assert rows(server.conninfo, "SHOW server_version")[0][0].startswith("18.")
    empty = {name for name, held in before.items() if not held}
    analysts = {"public.people", "public.numbers"}  # whom nobody has filled in
    nothing_happened = {"public.call_events", "public.provider_daily_totals", "sync.touched_days", "sync.alerts"}
    nobody_forgotten = {"sync.erasure_key", "sync.erasures", "sync.erased_calls", "sync.erasure_receipts"}
    assert empty <= analysts | nothing_happened | nobody_forgotten
    (_, write), (_, make), (_, name), (_, bring) = steps("Moving to a server of your own")

    (backup,) = commands(write)
    assert moving.run(*backup, cwd=tmp_path).code == 0
    with OwnServer(OLDER) as server:
        for statement in make.strip().splitlines():
            execute(server.url(), statement)
        where = make_url(tomllib.loads(name)["warehouse"]["url"])
        (socket,) = re.findall(r"host=(.*)&", server.url())
        local = where.set(drivername="postgresql", query={"host": socket})._replace(host=None, port=None)
        target = local.render_as_string(hide_password=False)
        restore, check, sync = commands(bring)
        moving.url = target

        assert moving.run(*restore, cwd=tmp_path).code == 0
        assert content(target) == before
        assert rows(target, "SELECT DISTINCT day = (occurred_at AT TIME ZONE 'Asia/Kathmandu')::date FROM calls") == [(True,)]
        stood = in_place(target)
        assert moving.run(*check, cwd=tmp_path).code == 0
        moving.sandbox.clear_requests()
        synced = moving.run(*sync, cwd=tmp_path)
        assert (synced.code, synced.lines) == (0, [])
        assert asked(moving.sandbox) == quiet
        assert in_place(target) == stood
        last = max(row["id"] for row in before["sync.runs"])
        numbered = rows(target, f"SELECT id FROM sync.runs WHERE id > {last} ORDER BY 1")
        assert numbered == [(last + number,) for number in range(1, 1 + len(USUAL))]


def test_the_documented_way_to_a_newer_version(moving: Program, home: Path, tmp_path: Path) -> None:
    """The data of an embedded server of 16 arrives in a new folder of the newest programs; `--json` says what is in it."""
    old = find(None, wanted=16).folder
    moving.environment |= {"ETL_WAREHOUSE__DATA_DIR": str(home.with_name("old")), "ETL_WAREHOUSE__BIN_DIR": str(old)}
    assert moving.run("sync").code == 0
    file = tmp_path / "warehouse.backup"

    made = moving.run("backup", str(file), "--json")
    del moving.environment["ETL_WAREHOUSE__BIN_DIR"]
    moving.environment["ETL_WAREHOUSE__DATA_DIR"] = str(home.with_name("new"))
    restored = moving.run("restore", str(file), "--json")

    assert (made.code, made.err, restored.code, restored.err) == (0, "", 0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.json | {"erased": {"persons": 0, "calls": 0}} == restored.json
    assert made.json["server"].startswith("16.") and made.json["reporting_timezone"] == "Asia/Kathmandu"
    with embedded.server(data_dir=home.with_name("old")) as one, embedded.server(data_dir=home.with_name("new")) as other:
        assert other.version.startswith("18.")
        held = content(one.conninfo)
        assert content(other.conninfo) == held
    del held["sync.alembic_version"]
    assert made.json["tables"] == {name: len(rows) for name, rows in held.items()}
