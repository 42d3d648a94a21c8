"""Each command as its user meets it: everything that is printed where there is no terminal, and the documents of `--json`."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import CAST, USUAL
from tests.acceptance.hook import LoopbackHook
from tests.acceptance.process import Program, content, execute, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history

COUNTERS = {
    *("requests", "retries", "pages", "records_seen", "inserted", "updated", "unchanged", "deleted", "rejected", "late"),
    "max_lateness",
}
"""What a run counts."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give four providers at which nothing happens."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as serving:
        yield serving


@pytest.fixture
def program(sandbox: Sandbox, database_url: str, tmp_path: Path) -> Program:
    """Give the program before four providers with 12 calls each, over an empty warehouse."""
    program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
    hourly(program, calls=12)
    return program


@pytest.fixture
def unmigrated(program: Program, empty_database_url: str) -> Program:
    """Give the program over a database with nothing in it."""
    program.url = empty_database_url
    return program


def untimed(text: str) -> str:
    """Return a text without instants of now, durations and process-wide numbers."""
    text = re.sub(r"2026-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "NOW", text)
    return re.sub(r" +", " ", re.sub(r"\b\d+d \d+[hm]\b", "LAG", text))


def test_init_writes_a_configuration_that_only_its_owner_reads(program: Program) -> None:
    """It is commented, and never written over another file."""
    place = program.folder / "new.toml"
    command = [*program.command()[:3], "init", str(place)]

    ended = program.ask(*command)
    again = program.ask(*command)

    assert (ended.code, ended.out, ended.err) == (
        0,
        f"Wrote {place}. Put your tokens into it, then run: etl check\n",
        "",
    )
    assert place.read_text(encoding="utf-8").startswith("# The configuration of the call warehouse.")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert (again.code, again.out, again.lines) == (
        2,
        "",
        [f"{place} exists already.", "It was left as it is.", "Name another file: etl init other.toml"],
    )


def test_check_of_an_empty_database_is_a_note(unmigrated: Program) -> None:
    """Everything is looked at, every account with three requests at most, and told; nothing is written."""
    name = make_url(unmigrated.url).database

    ended = unmigrated.run("check")

    assert (ended.code, ended.lines, [line for line in ended.out.splitlines() if not line.startswith(" ")]) == (
        0,
        [],
        [
            "ok      configuration: 4 connections",
            f"ok      database: postgresql+psycopg://postgres@/{name}, by a socket of this machine",
            "ok      schema: the warehouse is empty; the first `etl sync` makes its schema",
            *(
                f"ok      connection {part.name}: {part.title} accepts the credential"
                for part in (CAST[provider] for provider in USUAL)
            ),
            "ok      alerts: they are only logged, since notify.url is not set; there is no heartbeat (nothing was sent)",
        ],
    )
    assert max(len(unmigrated.sandbox.requests(provider)) for provider in USUAL) <= 3
    assert content(unmigrated.url) == {}


def test_check_as_a_document(program: Program) -> None:
    """`ok` of everything and of each; an error has its code and its three sentences."""
    program.settings["tuple"]["token"] = "made-up-token-that-nobody-knows"

    document = program.run("check", "--json").json

    assert document["ok"] is False
    assert [(one["subject"], one["ok"]) for one in document["checks"]] == [
        ("configuration", True),
        ("database", True),
        ("schema", True),
        ("connection pairing", False),
        ("connection voice", True),
        ("connection devices", True),
        ("connection telephony", True),
        ("alerts", True),
    ]
    error = document["checks"][3]["error"]
    assert (sorted(error), error["code"]) == (["code", "happened", "hint", "safe"], "authentication")


def test_migrate(unmigrated: Program) -> None:
    """It says from where to where; a second time there is nothing to do. `--check` says so before and after, and does nothing."""
    before = unmigrated.run("migrate", "--check")
    first, second, after = unmigrated.run("migrate"), unmigrated.run("migrate"), unmigrated.run("migrate", "--check")

    found = rows(unmigrated.url, "SELECT version_num FROM sync.alembic_version")[0][0]
    assert (first.code, first.out, first.err) == (0, f"The schema went from nothing to {found}.\n", "")
    assert (second.code, second.out, second.err) == (0, f"The schema has the newest version already ({found}).\n", "")
    told = f"There is no warehouse yet. Run: etl migrate. It makes one of version {found}.\n"
    assert (before.code, before.out, before.err) == (1, told, "")
    assert (after.code, after.out, after.err) == (0, f"The schema has the newest version ({found}).\n", "")


def test_migrate_where_only_the_queue_is_missing(unmigrated: Program) -> None:
    """`--check` finds that it is due, `migrate` makes it and says so."""
    assert unmigrated.run("migrate").code == 0
    execute(unmigrated.url, "DROP SCHEMA jobs CASCADE")
    before, done, after = unmigrated.run("migrate", "--check"), unmigrated.run("migrate"), unmigrated.run("migrate", "--check")

    missing = "The tables of the workers' queue (schema jobs) are missing. Run: etl migrate"
    assert (before.code, before.out.splitlines()[1:]) == (1, [missing])
    assert (done.code, done.out.splitlines()[1:]) == (0, ["The tables of the workers' queue were made, in schema jobs."])
    assert (after.code, len(after.out.splitlines())) == (0, 1)


@pytest.mark.parametrize("command", ["status", "runs"])
def test_a_database_that_holds_no_warehouse_yet(unmigrated: Program, command: str) -> None:
    """The command that makes one is named."""
    name = make_url(unmigrated.url).database

    ended = unmigrated.run(command)

    assert (ended.code, ended.out, ended.lines[0]) == (
        1,
        "",
        f"The database at postgresql+psycopg://postgres@/{name} holds no warehouse yet.",
    )
    assert ended.lines[2].startswith("Run: etl ")


def test_sync_status_and_runs(unmigrated: Program) -> None:
    """The first sync makes the schema; a table of what came, of how each connection stands, and of the runs."""
    ended = unmigrated.run("sync")
    status, runs = unmigrated.run("status"), unmigrated.run("runs", "voice")

    assert (ended.code, ended.lines, ended.out) == (
        0,
        [],
        (
            "The warehouse was empty: its schema was made.\n"
            "connection  status     new  changed  unchanged  rejected  requests\n"
            "pairing     succeeded  12   0        2          0         5\n"
            "voice       succeeded  12   0        0          0         4\n"
            "devices     succeeded  12   0        0          0         3\n"
            "telephony   succeeded  12   0        0          0         3\n"
        ),
    )
    assert (status.code, status.lines) == (0, [])
    listed = "settled from 2026-03-01 00:00:00 to 2026-03-01 10:00:00; read from 2026-03-01 10:00:00 to 2026-03-01 12:00:00."
    assert untimed(status.out) == (
        "connection provider last run ended complete until lag calls open gaps rejects last proof\n"
        "devices salpre succeeded NOW 2026-03-01 12:00:00 LAG 12 0 0 0 -\n"
        "pairing tuple succeeded NOW 2026-03-01 12:00:00 LAG 12 0 0 0 -\n"
        "telephony krosai succeeded NOW 2026-03-01 12:00:00 LAG 12 0 0 0 -\n"
        "voice bimpe succeeded NOW 2026-03-01 12:00:00 LAG 12 0 0 0 -\n"
        f"devices: {listed}\n"
        "pairing: settled from the beginning to 2026-02-28 12:00:00; read from 2026-02-28 12:00:00 to 2026-03-01 12:00:00.\n"
        f"telephony: {listed}\n"
        f"voice: {listed}\n"
    )
    assert (runs.code, runs.err) == (0, "")
    assert re.sub(r"\b\d+s\b", "TOOK", untimed(runs.out)).splitlines() == [
        "run connection status started took requests records new changed rejected late error",
        f"{runs.table[1][0]} voice succeeded NOW TOOK 4 12 12 0 0 0 -",
    ]
    held, true = held_and_true(unmigrated)
    assert held == true


def test_sync_status_and_runs_as_documents(program: Program) -> None:
    """One document each, whose keys stay."""
    sync = program.run("sync", "--json").json
    status = program.run("status", "--json").json
    runs = program.run("runs", "--json", "--limit", "1").json

    assert [one["connection"] for one in sync["connections"]] == list(USUAL.values())
    for one in sync["connections"]:
        assert set(one) == {"connection", "run", "status", *COUNTERS, "findings", "error"}
        assert (one["status"], one["inserted"], one["error"]) == ("succeeded", 12, None)
    assert sync["dry_run"] is False
    assert [(one["connection"], one["calls"], one["gaps"]) for one in status["connections"]] == [
        (name, 12, 0) for name in sorted(USUAL.values())
    ]
    assert [one["time_line"] for one in status["connections"] if one["connection"] == "devices"] == [
        [
            {"part": "settled", "start": "2026-03-01T00:00:00Z", "end": "2026-03-01T10:00:00Z"},
            {"part": "read", "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T12:00:00Z"},
        ]
    ]
    assert {"high_water_mark", "lag", "open_calls", "rejects", "last_run", "last_status", "streams"} <= set(
        status["connections"][0]
    )
    (run,) = runs["runs"]
    assert {"id", "connection", "trigger", "status", "started_at", "finished_at", *COUNTERS, "error_code"} <= set(run)
    assert (run["trigger"], run["status"], run["inserted"]) == ("cli", "succeeded", 12)


def test_check_says_who_is_told_and_tells_nobody(unmigrated: Program) -> None:
    """Neither the webhook nor the heartbeat is asked for, and neither address is shown."""
    with LoopbackHook() as hook:
        hook.answers = [500]
        unmigrated.environment |= {"ETL_NOTIFY__URL": hook.url, "ETL_NOTIFY__HEARTBEAT_URL": hook.heartbeat_url}
        ended = unmigrated.run("check")

    assert ended.out.splitlines()[-1] == (
        "ok      alerts: they go to the webhook of notify.url; there is a heartbeat (nothing was sent)"
    )
    assert (hook.answers, hook.beats, "made-up" in ended.out + ended.err) == ([500], 0, False)
