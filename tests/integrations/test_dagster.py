"""The Dagster example, run by Dagster in an environment of its own: what was synced, proven, left out, and what failed."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.process import PATIENCE, Hook, Program, execute, held_and_true, rows
from tests.integrations.environments import ROOT, Environment
from tests.integrations.orchestrators.environment import with_the_wheel
from tests.integrations.orchestrators.stage import busy, endless

EXAMPLE = ROOT / "examples" / "dagster"
INSIDE = Path(__file__).parent / "orchestrators" / "inside_dagster.py"
UNKNOWN = "kros_test_token_of_nobody"
RUNS = "SELECT connection, id, status, inserted, updated, deleted, rejected, requests FROM sync.runs WHERE trigger = 'library'"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give an environment with Dagster and the wheel."""
    return with_the_wheel(tmp_path_factory.mktemp("dagster"), EXAMPLE / "requirements.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dagster:
    """Dagster in its environment, with the example and a configuration of the warehouse."""

    environment: Environment
    program: Program

    @property
    def home(self) -> Path:
        """Where it keeps its runs and their logs."""
        return self.program.folder / "dagster"

    def command(self, *arguments: str | Path) -> dict[str, Any]:
        """Return how to start a program of the environment; the configuration is written anew."""
        self.program.configure()
        self.home.mkdir(exist_ok=True)
        shutil.copy(EXAMPLE / "dagster.yaml", self.home)
        variables = {"ETL_CONFIG": str(self.program.config), "DAGSTER_HOME": str(self.home), "DO_NOT_TRACK": "1"}
        return {
            "args": [self.environment.python, *arguments],
            "cwd": self.program.folder,
            "env": self.program.surroundings() | variables,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }

    def run(self, *jobs: str) -> list[dict[str, Any]]:
        """Run jobs of the example, one after the other, and return what is shown of each."""
        ended = subprocess.run(**self.command(INSIDE, EXAMPLE / "calls.py", *jobs), timeout=PATIENCE, check=False)
        assert ended.returncode == 0, ended.stderr
        self.tells_no_secret(ended.stdout + ended.stderr)
        found: list[dict[str, Any]] = json.loads(ended.stdout)
        return found

    def tells_no_secret(self, said: str) -> None:
        """No token is in what it said, nor in anything that it keeps."""
        kept = said.encode() + b"".join(path.read_bytes() for path in self.home.rglob("*") if path.is_file())
        secrets = [*self.program.sandbox.tokens.values(), UNKNOWN]
        assert [secret for secret in secrets if secret.encode() in kept] == []


@pytest.fixture
def dagster(environment: Environment, program: Program) -> Dagster:
    """Give Dagster over that configuration."""
    return Dagster(environment=environment, program=program)


def test_every_connection_is_an_asset_and_its_proof_a_check(dagster: Dagster, program: Program) -> None:
    """Materialisations say what the runs say; a call that is missing fails the check of its connection, and of no other."""
    (synced,) = dagster.run("sync")
    execute(str(program.url), "DELETE FROM calls WHERE call_id = (SELECT min(call_id) FROM calls WHERE connection = 'devices')")
    (proven,) = dagster.run("prove")

    columns = ("run", "status", "inserted", "updated", "deleted", "rejected", "requests")
    assert (synced["success"], synced["failures"], synced["checked"]) == (True, [], {})
    assert synced["made"] == {
        f"calls/{name}": {**dict(zip(columns, values, strict=True)), "findings": []}
        for name, *values in rows(str(program.url), RUNS)
    }
    assert [one["inserted"] for one in synced["made"].values()] == [12] * 4
    assert sum(line.startswith("run.finished") for line in synced["log"]) == 4
    assert (proven["success"], proven["failures"], proven["made"]) == (True, [], {})
    assert {name: (one["passed"], list(one["verdicts"].values())) for name, one in proven["checked"].items()} == {
        "calls/pairing": (True, ["complete"]),
        "calls/voice": (True, ["complete"]),
        "calls/devices": (False, ["mismatch"]),
        "calls/telephony": (True, ["complete"]),
    }


def test_what_fails_fails_the_step_and_what_is_busy_is_left_out(dagster: Dagster, program: Program) -> None:
    """
    One connection's token is unknown, another is being synced by somebody else: the other two are there, and why is told.

    Where the day's requests were used up, the sync is one that the next continues, and the proof one that was not made.
    """
    program.settings["krosai"]["token"] = UNKNOWN
    program.settings["tuple"]["daily_requests"] = 2
    with busy(str(program.url), "devices"):
        synced, proven = dagster.run("sync", "prove")

    assert (synced["success"], {name: one["status"] for name, one in synced["made"].items()}) == (
        False,
        {"calls/pairing": "partial", "calls/voice": "succeeded"},
    )
    assert {name: one["passed"] for name, one in proven["checked"].items()} == {"calls/voice": True}
    assert (proven["success"], proven["codes"]) == (False, [{"pairing": "budget_spent", "telephony": "authentication"}])
    (failure,) = synced["failures"]
    assert failure.startswith("Connection telephony: KrosAI does not accept the credential (HTTP 401: ")
    assert "Check or replace connections.telephony.token." in failure
    assert synced["codes"] == [{"telephony": "authentication"}]
    assert "Connection devices: another run is working on it. Nothing was touched." in " ".join(synced["log"])


def test_a_run_that_is_terminated_ends_after_its_page(dagster: Dagster, program: Program, hook: Hook) -> None:
    """Dagster ends the step, and the sync in it closes its run; the next one continues and finds all."""
    program.providers = ("salpre",)
    given = dagster.command("-m", "dagster", "job", "execute", "-f", EXAMPLE / "calls.py", "-j", "sync")
    with subprocess.Popen(**given) as process:
        hook.arm(2, lambda: endless(program, hook, process.terminate))
        dagster.tells_no_secret("".join(process.communicate(timeout=PATIENCE)))
    hook.arm(0, lambda: None)
    ended = rows(str(program.url), "SELECT status, error_code FROM sync.runs")
    again = program.run("sync")
    held, true = held_and_true(program)

    assert (process.returncode, ended) == (1, [("partial", "interrupted")])
    assert (again.code, held) == (0, true)
