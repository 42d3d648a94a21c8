"""The library: nothing in the process of somebody else is changed, and in the warehouse it does what `etl sync` does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from etl.errors import AlreadyRunning, Interrupted, ProgramFault, SchemaOutdated, UsageError, WarehouseError
from etl.library import RunStatus, Settings, Verdict, audit, load_settings, sync
from etl.runs.watching import Silence
from etl.sandbox import NO_LIMITS, Sandbox
from etl.warehouse import schema
from etl.warehouse.database import Database
from tests.acceptance.cast import USUAL
from tests.acceptance.killing import WITHOUT
from tests.acceptance.process import PATIENCE, Hook, Program, content, execute, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history

ROOT = Path(__file__).parents[2]
TABLES = ("calls", "call_participants", "call_messages", "call_events", "call_history", "agents")


@pytest.fixture
def program(empty_database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Program]:
    """Give the program before four providers with 12 calls each, over a database with nothing in it."""
    with Sandbox(quiet_history(), limits=NO_LIMITS, on_request=hook) as sandbox:
        program = Program(sandbox=sandbox, url=empty_database_url, folder=tmp_path)
        hourly(program, calls=12)
        yield program


def configured(program: Program) -> Settings:
    """Return the settings of the program's file, and of nothing else."""
    program.configure()
    return load_settings(program.config, {"ETL_SECRETS_DIR": str(program.folder)})


# ── The host ────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_a_host(program: Program, *, structlog: bool) -> dict[str, Any]:
    """Have a process of its own call the library; it says nothing, and ends as it should."""
    program.configure()
    found = program.folder / "found.json"
    what = {
        "config": str(program.config),
        "environ": {"ETL_SECRETS_DIR": str(program.folder), **program.environment},
        "url": program.url,
        "structlog": structlog,
        "found": str(found),
    }
    command = [sys.executable, "-m", "tests.acceptance.host", json.dumps(what)]
    ended = subprocess.run(
        command, cwd=ROOT, env=program.surroundings(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    document: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("structlog", [False, True], ids=["structlog as it comes", "structlog set up by the host"])
def test_a_host_is_as_it_was(program: Program, *, structlog: bool) -> None:
    """After importing the library, a sync of an empty warehouse, an audit and a repair: as before, and nothing was printed."""
    found = in_a_host(program, structlog=structlog)

    succeeded = [[name, "succeeded"] for name in USUAL.values()]
    assert found["changed"] == [{}] * 3
    assert (found["sessions"], found["errors"]) == (0, [])
    assert found["statuses"] == [succeeded, [[name, None] for name in USUAL.values()], succeeded]
    assert [secret for secret in program.sandbox.tokens.values() if secret in found["shown"]] == []


def test_a_host_with_the_embedded_server_is_as_it_was(program: Program) -> None:
    """The server that comes along is started for each call and stopped with it; nothing of it is left in the process."""
    with tempfile.TemporaryDirectory(prefix="etl-") as name:
        Path(name).chmod(0o755)  # root's server runs under another account
        program.url = None
        program.environment["ETL_WAREHOUSE__DATA_DIR"] = os.fspath(Path(name, "warehouse"))
        found = in_a_host(program, structlog=False)

    assert found["changed"] == [{}] * 3
    assert found["statuses"][0] == [[name, "succeeded"] for name in USUAL.values()]


# ── What a call does ────────────────────────────────────────────────────────────────────────────────────────────────


def unsigned(found: list[Any]) -> list[str]:
    """Return rows as texts, without the signatures of addresses, which differ each time."""
    return sorted(re.sub(r'\?[^"]*"', '"', json.dumps(row, sort_keys=True)) for row in found)


def test_it_writes_what_the_command_line_writes(program: Program, database_url: str) -> None:
    """Row for row, but for when and by which run something was seen; runs say who started them."""
    outcomes = sync(configured(program))
    of_the_library = content(str(program.url), without=(*WITHOUT, "content_hash"))
    runs = "SELECT connection, trigger, status, inserted, requests FROM sync.runs ORDER BY connection"
    ours = rows(str(program.url), runs)
    program.url = database_url
    assert program.run("sync").code == 0
    of_the_command_line = content(database_url, without=(*WITHOUT, "content_hash"))

    for table in TABLES:
        assert unsigned(of_the_library[f"public.{table}"]) == unsigned(of_the_command_line[f"public.{table}"])
    assert len(of_the_library["public.calls"]) == 48
    assert [(name, trigger) for name, trigger, *_ in ours] == [(name, "library") for name in sorted(USUAL.values())]
    assert rows(database_url, runs) == [(name, "cli", *others) for name, _, *others in ours]
    assert sorted((one.connection, one.counters.inserted, one.counters.requests) for one in outcomes) == [
        (name, inserted, requests) for name, _, _, inserted, requests in ours
    ]


def test_stopping_ends_after_the_page(program: Program, hook: Hook) -> None:
    """Who set the event gets an outcome that is partial and says so; the next call continues and finds all."""
    program.providers = ("salpre",)
    settings, stop = configured(program), Event()
    hook.arm(2, stop.set)

    (outcome,) = sync(settings, stop=stop)
    (again,) = sync(settings)
    held, true = held_and_true(program)

    assert (outcome.status, type(outcome.error)) == (RunStatus.PARTIAL, Interrupted)
    assert outcome.counters.inserted == 5 * outcome.counters.pages < 12  # the second page was asked for beside the first
    assert (again.status, again.error, held) == (RunStatus.SUCCEEDED, None, true)


def test_calls_side_by_side(program: Program) -> None:
    """Four threads of one process sync a connection each, the first of them into a database that is empty for all."""
    settings = configured(program)

    with ThreadPoolExecutor(4) as threads:
        outcomes = [one for found in threads.map(lambda name: sync(settings, name), USUAL.values()) for one in found]
    held, true = held_and_true(program)

    assert [(one.connection, one.status, one.error) for one in outcomes] == [
        (name, RunStatus.SUCCEEDED, None) for name in USUAL.values()
    ]
    assert held == true


def test_a_connection_that_is_being_synced(program: Program, hook: Hook) -> None:
    """A second call for it begins no run and says so; the first goes on."""
    program.providers = ("salpre",)
    settings, second = configured(program), []
    hook.arm(2, lambda: second.extend(sync(settings)))

    (first,) = sync(settings)

    assert first.status is RunStatus.SUCCEEDED
    assert [(one.run_id, one.status, type(one.error)) for one in second] == [(None, None, AlreadyRunning)]


def test_an_audit_and_its_repair(program: Program) -> None:
    """A call that is missing is a mismatch, which a repair mends as a run; the verdicts come as values."""
    program.providers = ("salpre",)
    settings = configured(program)
    sync(settings)
    execute(str(program.url), "DELETE FROM calls WHERE call_id = (SELECT min(call_id) FROM calls)")

    (found,), (mended,) = audit(settings), audit(settings, repair=True)
    held, true = held_and_true(program)

    assert (found.run_id, found.status, found.stands, found.verdicts[0].verdict) == (None, None, True, Verdict.MISMATCH)
    assert (found.error, found.disagreements > 0) == (None, True)
    assert (mended.status, mended.stands, mended.error) == (RunStatus.SUCCEEDED, False, None)
    assert held == true


# ── What a call refuses ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_older_schema_waits_for_somebody_to_migrate(program: Program, database: Database, database_url: str) -> None:
    """A call changes no schema that is there: the error has a class of its own and says what to do."""
    before = schema._versions()[schema.head()]
    assert before is not None
    schema.downgrade(database, before)
    program.url = database_url
    settings = configured(program)

    for call in (sync, audit):
        with pytest.raises(SchemaOutdated) as raised:
            call(settings)
        assert (raised.value.safe, raised.value.hint) == ("Nothing was changed.", "Run: etl migrate")
    assert schema.current(database) == before


def test_an_audit_of_nothing(program: Program) -> None:
    """An audit makes no schema: an empty database is probably the wrong one."""
    with pytest.raises(WarehouseError, match="holds no warehouse yet"):
        audit(configured(program))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": ["pairing", "paring"]}, "There is no connection 'paring'."),
        ({"full": True, "since": datetime(2026, 2, 1, tzinfo=UTC)}, "full reads everything; since and until read one range."),
        ({"since": datetime(2026, 2, 1)}, "since has no time zone."),  # noqa: DTZ001 - that is the point
        (
            {"since": datetime(2026, 2, 1, tzinfo=UTC), "until": datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            "since must be before until.",
        ),
    ],
)
def test_arguments_that_are_wrong(program: Program, given: dict[str, Any], said: str) -> None:
    """They are refused before anything is opened."""
    with pytest.raises(UsageError) as raised:
        sync(replaced(configured(program), "postgresql://nobody@127.0.0.1:1/nothing"), **given)
    assert (raised.value.happened, raised.value.safe) == (said, "Nothing was started.")


def test_a_fault_is_an_error_of_ours_too(program: Program) -> None:
    """A watcher that fails ends the run; what is raised says so and has the fault as its cause."""

    class Clumsy(Silence):
        def page_loaded(self, connection: str, stream: str, *, records: int, total: int | None) -> None:
            raise KeyError(connection)

    program.providers = ("salpre",)
    with pytest.raises(ProgramFault) as raised:
        sync(configured(program), watcher=Clumsy())

    assert raised.value.happened == "The program has a fault, or the watcher that it was given: KeyError."
    assert repr(raised.value.__cause__) == "KeyError('devices')"
    assert rows(str(program.url), "SELECT status FROM sync.runs") == [("failed",)]


def test_an_outcome_does_not_change_and_tells_no_secret(program: Program) -> None:
    """Nor does that of a failure, whose error names what was refused."""
    program.providers = ("salpre", "krosai")
    program.settings["krosai"]["token"] = "sk-made-up-and-wrong"
    good, bad = sync(configured(program))

    assert (good.status, bad.status, bad.error and bad.error.code) == (RunStatus.SUCCEEDED, RunStatus.FAILED, "authentication")
    for value, name in ((good, "status"), (good.counters, "inserted")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    told = repr([good, bad]) + str(bad.error)
    assert [one for one in ("sk-made-up-and-wrong", *program.sandbox.tokens.values()) if one in told] == []


def replaced(settings: Settings, url: str) -> Settings:
    """Return the settings with another database."""
    return settings.model_copy(update={"warehouse": settings.warehouse.model_copy(update={"url": SecretStr(url)})})
