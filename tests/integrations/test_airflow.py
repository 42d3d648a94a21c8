"""The Airflow example, run by Airflow in an environment of its own: states, outcomes and texts are those of the runs."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl.library import load_settings, sync
from tests.acceptance.cast import USUAL
from tests.acceptance.process import PATIENCE, Hook, Program, execute, held_and_true, rows
from tests.integrations.environments import ROOT, Environment, run
from tests.integrations.orchestrators.environment import with_the_wheel
from tests.integrations.orchestrators.stage import busy, endless

EXAMPLE = ROOT / "examples" / "airflow"
UNKNOWN = "kros_test_token_of_nobody"
QUIET = {"AIRFLOW__CORE__LOAD_EXAMPLES": "false", "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false"}

FORKED = """
import os, sys
from etl.library import load_settings, sync
sync(load_settings(), "pairing")
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
from airflow.__main__ import main
sys.argv = ["airflow", *sys.argv[1:]]
main()
"""
"""A process that has used the library, and in which Airflow then runs after a fork, as its workers do."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give an environment with Airflow and the wheel."""
    return with_the_wheel(tmp_path_factory.mktemp("airflow"), EXAMPLE / "requirements.lock")


@pytest.fixture(scope="session")
def new_home(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home of Airflow in which nothing was run yet, with its own database and the example."""
    home = tmp_path_factory.mktemp("home")
    run([environment.python, "-m", "airflow", "db", "migrate"], variables=QUIET | {"AIRFLOW_HOME": str(home)})
    (home / "dags").mkdir()
    shutil.copy(EXAMPLE / "calls.py", home / "dags")
    (home / "airflow.cfg").unlink()  # it names the folder
    return home


@dataclass(frozen=True, slots=True, kw_only=True)
class Airflow:
    """Airflow in its environment, with a home that holds the example, and a configuration of the warehouse."""

    environment: Environment
    program: Program
    home: Path

    def start(self, dag: str, *how: str) -> subprocess.Popen[str]:
        """Start a run of a DAG; the configuration is written anew."""
        self.program.configure()
        return subprocess.Popen(
            [self.environment.python, *(how or ("-m", "airflow")), "dags", "test", dag],
            cwd=self.program.folder,
            env=self.program.surroundings() | QUIET | {"ETL_CONFIG": str(self.program.config), "AIRFLOW_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, process: subprocess.Popen[str]) -> str:
        """Return what a run said, once it has ended; no token is in it, nor in anything that Airflow keeps."""
        with process:
            said, _ = process.communicate(timeout=PATIENCE)
        kept = said.encode() + b"".join(path.read_bytes() for path in self.home.rglob("*") if path.is_file())
        secrets = [*self.program.sandbox.tokens.values(), UNKNOWN]
        assert [secret for secret in secrets if secret.encode() in kept] == []
        return said

    def states(self) -> dict[str, str]:
        """Return how each task of all runs ended."""
        return dict(self.ask("SELECT task_id, state FROM task_instance"))

    def outcomes(self, task: str) -> dict[str, Any]:
        """Return what a task left for others to read."""
        ((text,),) = self.ask(f"SELECT value FROM xcom WHERE task_id = '{task}' AND key = 'outcomes'")
        found: dict[str, Any] = json.loads(text)
        return found

    def ask(self, query: str) -> list[Any]:
        """Ask Airflow's database."""
        session = sqlite3.connect(self.home / "airflow.db")
        try:
            return session.execute(query).fetchall()
        finally:
            session.close()


@pytest.fixture
def airflow(environment: Environment, new_home: Path, program: Program) -> Airflow:
    """Give Airflow over that configuration."""
    home = program.folder / "airflow"
    shutil.copytree(new_home, home)
    return Airflow(environment=environment, program=program, home=home)


def test_a_sync_and_its_proof_after_a_fork(airflow: Airflow, program: Program) -> None:
    """Outcomes are those of the runs; a row that was damaged since the process before the fork synced it fails the proof."""
    program.configure()
    sync(load_settings(program.config, {"ETL_SECRETS_DIR": str(program.folder)}), "devices")
    execute(str(program.url), "UPDATE calls SET direction = NULL WHERE call_id = (SELECT min(call_id) FROM calls)")

    said = airflow.wait(airflow.start("calls_proven", "-c", FORKED))

    runs = rows(str(program.url), "SELECT DISTINCT ON (connection) connection, id FROM sync.runs ORDER BY 1, 2 DESC")
    inserted = {"pairing": 0, "voice": 12, "devices": 0, "telephony": 12}
    others = {"status": "succeeded", "error": None, "updated": 0, "deleted": 0}
    assert airflow.states() == {"sync": "success", "prove": "failed"}, said
    assert airflow.outcomes("sync") == {
        name: {"run": run_id, "inserted": inserted[name], "findings": [], **others} for name, run_id in runs
    }
    assert set(airflow.outcomes("prove")) == set(USUAL.values())
    assert re.findall("AirflowFailException: (.+)", said) == [
        "Connection devices: disagreements: 1. To mend them: etl audit --repair"
    ]
    assert airflow.ask("SELECT count(*) FROM asset_event") == [(1,)]
    assert said.count("run.finished connection=") == 4
    assert "HTTP Request" not in said


def test_what_fails_fails_the_task_and_what_is_busy_does_not(airflow: Airflow, program: Program) -> None:
    """One connection's token is unknown, another is being synced by somebody else: the first is told, and the rest is there."""
    program.settings["krosai"]["token"] = UNKNOWN
    with busy(str(program.url), "devices"):
        said = airflow.wait(airflow.start("calls_proven"))

    ended = {name: (one["status"], one["error"], one["inserted"]) for name, one in airflow.outcomes("sync").items()}
    assert airflow.states() == {"sync": "failed", "prove": "upstream_failed"}
    assert "AirflowFailException: Connection telephony: KrosAI does not accept the credential (HTTP 401" in said
    assert ended == {
        "pairing": ("succeeded", None, 12),
        "voice": ("succeeded", None, 12),
        "devices": (None, "already_running", 0),
        "telephony": ("failed", "authentication", 0),
    }


def test_a_task_that_is_killed_ends_after_its_page(airflow: Airflow, program: Program, hook: Hook) -> None:
    """Airflow asks it to end, and the sync in it closes its run; the next one continues and finds all."""
    program.providers = ("salpre",)
    process = airflow.start("calls")
    hook.arm(2, lambda: endless(program, hook, process.terminate))
    said = airflow.wait(process)
    hook.arm(0, lambda: None)
    ended = rows(str(program.url), "SELECT status, error_code FROM sync.runs")
    again = program.run("sync")
    held, true = held_and_true(program)

    assert (airflow.states(), ended) == ({"sync": "failed"}, [("partial", "interrupted")])
    assert "AirflowFailException: Connection devices: the sync was interrupted." in said
    assert (again.code, held) == (0, true)
