"""`make dashboards`, before anything is started: what it refuses, and what it keeps secret."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from dashboards.serve import environment as environments
from dashboards.serve.running import Superset, _secret, listening_on
from dashboards.serve.source import of_embedded
from etl.errors import UsageError


def test_a_python_that_superset_does_not_run_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; nothing was installed."""
    monkeypatch.setattr(environments, "FITS", ((3, 9),))
    here = ".".join(map(str, sys.version_info[:2]))

    with pytest.raises(UsageError) as refused:
        environments.environment(tmp_path / "superset", wanted=sys.executable)

    assert (refused.value.happened, refused.value.safe, list(tmp_path.iterdir())) == (
        f"Superset 6.1 runs on Python 3.9 only; {sys.executable} is {here}.",
        "Nothing was installed or started.",
        [],
    )
    assert "make dashboards SUPERSET_PYTHON=/path/to/python3.12" in refused.value.hint


def test_a_python_that_does_not_start_is_none(tmp_path: Path) -> None:
    """A path that leads nowhere."""
    with pytest.raises(UsageError) as refused:
        environments.environment(tmp_path / "superset", wanted=str(tmp_path / "python"))

    assert refused.value.happened.endswith(f"{tmp_path / 'python'} is no Python that starts.")


def test_a_port_in_use_is_said() -> None:
    """Before an environment is made; 0 is any that is free."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as refused:
            listening_on(str(port))

    assert refused.value.happened == f"Port {port} cannot be used: Address already in use."
    assert listening_on("0") > 0


@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_what_is_no_port_is_said(port: str) -> None:
    """A word, and numbers out of the range."""
    with pytest.raises(UsageError, match=f"Port {port} cannot be used"):
        listening_on(port)


def test_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    """At random; also where the program was killed between making the file and writing it."""
    file = tmp_path / "secret"
    made, new = _secret(file)
    other, _ = _secret(tmp_path / "other")

    assert (new, file.stat().st_mode & 0o777, len(made) >= 32, made != other) == (True, 0o600, True, True)
    assert _secret(file) == (made, False)
    file.write_text("")
    assert _secret(file)[1] is True


def test_superset_is_told_none_of_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold tokens; and nobody's own settings of Superset decide here."""
    for name in ("ETL_CONNECTIONS__PAIRING__TOKEN", "DATABASE", "SUPERSET_SECRET_KEY", "PYTHONPATH"):
        monkeypatch.setenv(name, "made-up")

    told = Superset(tmp_path, Path(sys.executable), port=1)._variables()

    assert [name for name, value in told.items() if value == "made-up"] == []


def test_a_configuration_with_a_server_of_its_own_is_sent_to_database(tmp_path: Path) -> None:
    """Nobody's owner is handed to Superset."""
    config = tmp_path / "config.toml"
    config.write_text('[warehouse]\nurl = "postgresql://etl@warehouse.example.com/calls"\n')

    with pytest.raises(UsageError) as refused, of_embedded(config, tmp_path):
        pass

    assert refused.value.hint.endswith("DATABASE=postgresql://dashboards@host/db make dashboards")
