"""The last resort: a fault of the program itself is told in sentences, and shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl import cli
from etl.log import configure

PASSWORD = "a-made-up-password"
PHONE = "+1" + "4155550101"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command meet an error that nobody expected, which quotes the address of the database."""

    def fail(*_: object, **__: object) -> None:
        configure(secrets=[PASSWORD])
        try:
            raise KeyError(f"cannot read postgresql://etl:{PASSWORD}@db.example.com\x1b[2J")
        except KeyError as error:
            raise RuntimeError(f"no {PASSWORD}, for {PHONE}") from error

    monkeypatch.setattr("etl.cli.setup.write_config", fail)


@pytest.mark.usefixtures("broken")
def test_a_fault_is_told_in_sentences(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What happened, what is safe, what to do: without what the error says, which may hold anything."""
    assert cli.run(["init", str(tmp_path / "config.toml")]) == 1

    told = capsys.readouterr()
    happened, safe, hint = told.err.splitlines()
    assert (told.out, happened.startswith("The program has a fault: RuntimeError in ")) == ("", True)
    assert "What was committed stays" in safe
    assert ("Please report it" in hint, "--verbose" in hint) == (True, True)
    assert PASSWORD not in told.err


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("option", ["--verbose", "-v"])
def test_a_traceback_is_shown_if_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str) -> None:
    """Behind the sentences, with its cause, every secret masked and nothing that a terminal obeys."""
    assert cli.run([option, "init", str(tmp_path / "config.toml")]) == 1

    told = capsys.readouterr().err
    assert told.startswith("The program has a fault: RuntimeError in ")
    assert "RuntimeError: no ***, for ***" in told
    assert "KeyError" in told
    assert "in fail" in told
    assert [part for part in (PASSWORD, PHONE, "\x1b") if part in told] == []


def test_nothing_is_shown_of_an_error_before_secrets_are_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What an error says while the configuration is read is left out even then: what has to be masked is not known yet."""
    monkeypatch.setattr("etl.log._in_use", [])

    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"'{PASSWORD}' does not appear to be an IPv6 address")

    monkeypatch.setattr("etl.cli.setup.write_config", fail)
    assert cli.run(["--verbose", "init", str(tmp_path / "config.toml")]) == 1

    told = capsys.readouterr().err
    assert "ValueError: ***" in told
    assert PASSWORD not in told


@pytest.mark.parametrize("password", ["se[cret", "se]cret", "at@sign", "[", "%zz", "a:b/c"])
def test_an_address_with_any_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str
) -> None:
    """Whatever stands in the password, the command ends in sentences that do not show it."""
    path = tmp_path / "config.toml"
    url = f"postgresql://etl:{password}{PASSWORD}@127.0.0.1:1/warehouse?connect_timeout=2"
    path.write_text(f'[warehouse]\nurl = "{url}"\n', encoding="utf-8")
    monkeypatch.setenv("ETL_SECRETS_DIR", str(tmp_path))

    code = cli.run(["--config", str(path), "status"])

    told = capsys.readouterr()
    assert (code, told.out) in {(1, ""), (2, "")}
    assert PASSWORD not in told.err
    assert "warehouse.url" in told.err
    assert "fault" not in told.err
