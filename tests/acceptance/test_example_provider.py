"""The example of a provider in a package of its own is installed as documented, proven by its own tests, and synced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.testing.made import Made, Maker
from etl.testing.payloads import Payloads
from etl.testing.server import Server
from etl.testing.stage import Stage
from tests.acceptance.process import rows
from tests.providers.packaged import EXAMPLE, retell, retell_payloads

ROOT = Path(__file__).parents[2]
NUMBER = 7

SYNC = """from etl.library import load_settings, sync
for outcome in sync(load_settings("config.toml")):
    print(outcome.status, outcome.counters.inserted, outcome.error)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example from its own pyproject.toml, beside this program, and give the folder."""
    target = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*install, "--no-build-isolation", "--target", str(target), str(EXAMPLE)], check=True)
    return target


def surroundings(installed: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process that finds the example and this program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ETL_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]), **more}


def execute(installed: Path, *command: str, cwd: Path, **more: str) -> str:
    """Run Python with the example installed, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=surroundings(installed, **more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def served() -> Iterator[tuple[Server, list[Made]]]:
    """Serve the example's API with calls of the last hours; give it, and its calls."""
    provider, payloads = retell(), Payloads.of(retell_payloads())
    stage = Stage.of(provider, provider.listing.styles[0], payloads)
    assert isinstance(stage, Stage)
    with Server(
        provider,
        stage.style,
        wording=stage.wording,
        envelope=stage.envelope,
        payloads=payloads,
        now=lambda: datetime.now(UTC),
        page_size=50,
        own={},
    ) as server:
        maker, newest = Maker(provider, payloads), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        for number in range(NUMBER):
            made = maker.call(number, newest - timedelta(minutes=number))
            assert isinstance(made, Made)
            server.calls.append(made)
        yield server, server.calls


def test_its_own_tests_prove_it(installed: Path, tmp_path: Path) -> None:
    """They know nothing of this checkout but the program that is installed, and need no account."""
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-q", "-s", "--import-mode=importlib"]
    said = execute(installed, "-m", "pytest", "-c", os.devnull, *options, str(EXAMPLE / "tests"), cwd=tmp_path)

    assert "11 calls: 6 pages" in said and "1 passed" in said


def test_the_tests_of_the_others_hold_beside_it(installed: Path) -> None:
    """Those of names and settings, in which a provider that is installed shows; the others know nothing of it."""
    options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-q", "-n", "0"]
    modules = ["tests/unit/test_registry.py", "tests/unit/test_config_own.py"]
    said = execute(installed, "-m", "pytest", *options, *modules, cwd=ROOT)

    assert "failed" not in said


def test_it_is_found_checked_and_synced(installed: Path, tmp_path: Path, empty_database_url: str) -> None:
    """By its entry point; every call arrives as a whole row, and a join token is nowhere."""
    with served() as (server, calls):
        text = f'[connections.agents]\nprovider = "retell"\ntoken = "made-up"\nbase_url = "{server.url}"\nper_page = 3\n'
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
        found = {"ETL_WAREHOUSE__URL": empty_database_url, "ETL_SECRETS_DIR": str(tmp_path)}
        checked = execute(installed, "-m", "etl", "check", cwd=tmp_path, **found)
        said = execute(installed, "-c", SYNC, cwd=tmp_path, **found)

    assert "agents" in checked
    assert said == f"succeeded {NUMBER} None\n"
    held = rows(empty_database_url, "SELECT call_id, started_at, provider, transcript IS NOT NULL FROM calls")
    assert sorted(held) == sorted((made.call_id, made.at, "retell", "transcript" in made.detail) for made in calls)
    assert rows(empty_database_url, "SELECT 1 FROM calls WHERE raw::text LIKE '%join-token%'") == []
    assert any("access_token" in made.record for made in calls)
