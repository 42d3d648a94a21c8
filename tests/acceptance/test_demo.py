"""`etl demo`: the whole job on this machine, and with `--keep` a warehouse that commands work on afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.process import PATIENCE

CONNECTIONS = ["boxes", "pairing", "programmable", "support", "telephony", "voice"]


def etl(*arguments: str) -> tuple[int, str, str]:
    """Run a command without settings of the environment; return its exit code and what it said."""
    surroundings = {name: value for name, value in os.environ.items() if not re.match(r"(?i)etl_|.*_proxy$", name)}
    command = [sys.executable, "-m", "etl", *arguments]
    ended = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that every account of the machine can enter, as root's embedded server runs under another one."""
    with tempfile.TemporaryDirectory(prefix="etl-demo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_demonstration_that_is_kept(folder: Path) -> None:
    """What reads the warehouse works on it with the sandbox gone; and it is never demonstrated over."""
    kept = folder / "a folder" / "kept"

    code, said, _ = etl("demo", "--keep", str(kept))

    assert code == 0
    for name in CONNECTIONS:
        assert re.search(rf"(?m)^{name}: settled from .* to .*; read from .* to .*\.$", said)
        assert re.search(rf"(?m)^{name}: calls per day: \d{{4}}-\d\d-\d\d \d+, ", said)
    command = f"etl --config '{kept}/config.toml'"
    assert [line.strip() for line in said.splitlines() if command in line] == [
        f"{command} status",
        f"{command} runs",
        f'{command} sql "SELECT * FROM data_freshness"',
    ]
    assert f"   make dashboards CONFIG='{kept}/config.toml'   draws the calls in your browser: " in said
    assert (kept / "config.toml").stat().st_mode & 0o777 == 0o600
    config = ("--config", str(kept / "config.toml"))
    code, said, _ = etl(*config, "sql", "--csv", "SELECT connection, count(*) > 0 AS held FROM calls GROUP BY 1 ORDER BY 1")
    assert (code, said.split()) == (0, ["connection,held", *(f"{name},true" for name in CONNECTIONS)])
    code, said, _ = etl(*config, "status")
    assert (code, [line.split()[0] for line in said.splitlines()[1 : 1 + len(CONNECTIONS)]]) == (0, CONNECTIONS)
    code, said, wrong = etl("demo", "--keep", str(kept))
    assert (code, said, wrong.splitlines()) == (
        2,
        "",
        [f"{kept} holds something already.", "It was left as it is.", "Name a new folder: etl demo --keep DIR"],
    )


def test_a_place_that_cannot_be_made(folder: Path) -> None:
    """It is named, and nothing is started."""
    taken = folder / "taken"
    taken.touch()

    assert etl("demo", "--keep", str(taken / "kept")) == (
        2,
        "",
        f"{taken / 'kept'} cannot be used: Not a directory.\nIt was left as it is.\nName a folder that you can write.\n",
    )
