"""What a user reads where the configuration or the command line is wrong: exit code 2, and nothing was started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program
from tests.acceptance.stage import quiet_history

NOTHING = "Nothing was started."
KEYS = "etl init example.toml writes every key with its meaning; docs/configuration.md has more."


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        yield Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        assert sandbox.requests() == []  # in none of these tests


def test_a_typing_error_in_a_key(program: Program) -> None:
    """The nearest known key is named, in every section."""
    program.settings["bimpe"] = {"per_pag": 3}
    program.http = {"time_out": 3}

    ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            "The configuration is not valid: ",
            "  http.time_out: unknown key; did you mean timeout?",
            "  connections.voice.per_pag: unknown key; did you mean per_page?",
            "",
            NOTHING,
            KEYS,
        ],
    )


def test_an_unknown_variable(program: Program) -> None:
    """A variable of the program's prefix that means nothing is refused, so that no typing error hides a setting."""
    program.environment["ETL_CONNECTION__PAIRING__TOKEN"] = "made-up"

    ended = program.run("sync")

    assert ended.code == 2
    assert ended.lines[0].startswith(
        "The configuration is not valid: ETL_CONNECTION__PAIRING__TOKEN: unknown environment variable; did you mean"
    )


@pytest.mark.parametrize("command", ["sync", "runs"])
def test_an_unknown_connection(program: Program, command: str) -> None:
    """The nearest one is named."""
    ended = program.run(command, "pairng")

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        ["There is no connection 'pairng'.", NOTHING, "Did you mean pairing?"],
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["--since", "yesterday"],
            ["--since is not an instant.", NOTHING, "Write 2026-03-01 or 2026-03-01T12:00:00Z."],
        ),
        (
            ["--since", "2026-03-01", "--until", "2026-02-01"],
            ["--since must be before --until.", NOTHING, "Exchange the two, or leave --until out: until now."],
        ),
        (
            ["--full", "--until", "2026-02-01"],
            ["--full reads everything; --since and --until read one range.", NOTHING, "Give one or the other."],
        ),
    ],
)
def test_a_range_that_is_none(program: Program, arguments: list[str], lines: list[str]) -> None:
    """What was meant is asked for."""
    ended = program.run("sync", *arguments)

    assert (ended.code, ended.out, ended.lines) == (2, "", lines)


def test_a_file_that_is_no_toml(program: Program) -> None:
    """The line is named, and nothing of it is shown: it may hold a token."""
    program.configure()
    program.config.write_text(program.config.read_text(encoding="utf-8").replace('provider = "tuple"', "provider = tuple"))
    line = program.config.read_text(encoding="utf-8").splitlines().index("provider = tuple") + 1

    ended = program.ask(*program.command("sync"))

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            f"The configuration file {program.config} is not valid TOML: Invalid value (at line {line}, column 12).",
            NOTHING,
            'Text stands in quotes: token = "…"',
        ],
    )


def test_a_file_that_is_absent(program: Program) -> None:
    """The command that makes one is named."""
    absent = program.folder / "absent.toml"

    ended = program.ask(*program.command("--config", str(absent), "sync"))

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            f"The configuration file {absent} does not exist.",
            NOTHING,
            f"Run: etl init {absent}, or name another one: etl --config FILE …",
        ],
    )


def test_a_file_that_cannot_be_read(program: Program) -> None:
    """Whoever runs the program is told to let it read the file."""
    hidden = program.folder / "hidden.toml"
    if os.geteuid() == 0:  # may read whatever is a file
        hidden.mkdir()
    else:
        hidden.touch(mode=0)
    reason = "Is a directory" if os.geteuid() == 0 else "Permission denied"

    ended = program.ask(*program.command("--config", str(hidden), "check"))

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            f"The configuration file {hidden} cannot be read: {reason}.",
            NOTHING,
            "Let the account that runs etl read it, or name another one with --config.",
        ],
    )


def test_plain_http_to_a_foreign_host(program: Program) -> None:
    """A token is never sent unencrypted to another machine, unless that is permitted."""
    program.settings["bimpe"] = {"base_url": "http://calls.example.com/v1"}

    ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            (
                "The configuration is not valid: connections.voice.base_url: must begin with https://: over http:// anybody on "
                "the way reads the token (allow_http permits it)"
            ),
            NOTHING,
            KEYS,
        ],
    )


def test_an_address_of_another_database(program: Program) -> None:
    """The address is not shown: it may hold a password."""
    program.url = "mysql://etl:made-up-password@localhost/warehouse"

    ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            (
                "The configuration is not valid: warehouse.url: must be an address like "
                "postgresql+psycopg://user:password@host:5432/database."
            ),
            NOTHING,
            KEYS,
        ],
    )


def test_an_unknown_command(program: Program) -> None:
    """The nearest one is named."""
    ended = program.run("synk")

    assert ended.code == 2
    assert ended.lines[-1] == "Error: No such command 'synk'. Did you mean 'sync'?"
