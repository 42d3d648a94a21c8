"""The systemd files: what they name is there, and systemd itself takes the unit where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from etl.config.settings import WorkerSettings
from tests.unit.deploy.named import is_command, is_setting

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
UNIT = SYSTEMD / "call-warehouse.service"
PROGRAM = "/opt/call-warehouse/bin/etl "


def settings(path: Path) -> list[tuple[str, str, str]]:
    """Return section, key and value of each line; a key may stand there several times."""
    found, section = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.append((section, key, value))
    return found


def values(key: str, path: Path = UNIT) -> list[str]:
    return [value for _, name, value in settings(path) if name == key]


def test_the_schema_is_brought_up_before_the_worker() -> None:
    """By commands that there are."""
    commands = [*values("ExecStartPre"), *values("ExecStart")]
    assert commands == [f"{PROGRAM}migrate", f"{PROGRAM}worker"]
    assert [is_command(command.removeprefix(PROGRAM)) for command in commands] == [True, True]


def test_the_embedded_server_has_its_data_where_the_service_may_write() -> None:
    """In the one folder that systemd makes for it; everything else is read-only."""
    (folder,) = values("StateDirectory")
    assert f"ETL_WAREHOUSE__DATA_DIR=%S/{folder}" in values("Environment")
    assert values("ProtectSystem") == ["strict"]
    assert values("User") == [folder]
    assert f"u {folder} - " in (SYSTEMD / "sysusers.conf").read_text(encoding="utf-8")


def test_variables_and_credentials_are_settings_of_ours() -> None:
    """A credential has the name of a file of the secrets directory, and each is where the page says."""
    secrets = SYSTEMD / "secrets.conf"
    variables = [one.partition("=")[0] for one in values("Environment") + values("Environment", secrets)]
    offered = [
        line.lstrip("#").partition("=")[2] for line in secrets.read_text("utf-8").splitlines() if "LoadCredential=" in line
    ]
    names = [one.partition(":")[0] for one in offered]
    assert [name for name in variables if not is_setting(name)] == []
    assert [name for name in names if not is_setting(f"ETL_{name.upper()}")] == []
    assert offered == [f"{name}:/etc/call-warehouse/secrets/{name}" for name in names]


def test_it_stops_as_the_worker_does() -> None:
    """The worker alone is told, and has its time; the configuration's faults do not start it again and again."""
    (seconds,) = values("TimeoutStopSec")
    assert timedelta(seconds=int(seconds)) > WorkerSettings().stop_after
    assert values("KillMode") == ["mixed"]
    assert values("Restart") == ["always"]
    assert values("RestartPreventExitStatus") == ["2"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With the drop-in; but for the program and the account, which are not on this machine."""
    text = UNIT.read_text(encoding="utf-8").replace(PROGRAM.strip(), shutil.which("true") or "/bin/true")
    unit = tmp_path / "call-warehouse.service"
    unit.write_text(text.replace("User=call-warehouse", "User=daemon"), encoding="utf-8")
    drop_in = tmp_path / "call-warehouse.service.d" / "secrets.conf"
    drop_in.parent.mkdir()
    shutil.copy(SYSTEMD / "secrets.conf", drop_in)
    ended = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
