"""What a user reads where a provider cannot be reached, or answers what nobody can use; nothing is lost by it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import CAST, NAMES, PROVIDERS
from tests.acceptance.process import Program, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history

KEPT = "What was loaded before stays, and the next sync continues there."
BETWEEN = "Check base_url, and whether a proxy or a login page of your network stands between."
REACH = "Check base_url, the network and the proxy settings; if it recovers, the next sync continues."
MEMORY = 250 * 2**10
"""The largest resident set, in KiB, that a response of 300 MB may lead to."""

# A process of its own that is small, since a child's largest resident set counts what its parent had when it was forked.
MEASURE = "import resource, subprocess, sys; code = subprocess.call(sys.argv[2:]); open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(code)"  # noqa: E501 - one argument of a command line


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before every provider with 30 calls each; it tries everything twice."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=PROVIDERS)
        program.http["max_attempts"] = 2
        hourly(program)
        yield program


@pytest.fixture
def foreign() -> Iterator[Sandbox]:
    """Give a server at another origin, at which nothing must arrive."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as elsewhere:
        yield elsewhere
        assert elsewhere.requests() == []


def recovers(program: Program, *names: str) -> None:
    """When the trouble is over, the next sync ends equal to the truth."""
    program.sandbox.faults.clear()
    ended = program.run("sync", *names)
    held, true = held_and_true(program)

    assert (ended.code, ended.lines) == (0, [])
    assert {name: held[name] for name in names} == {name: true[name] for name in names}


def test_a_refused_connection(program: Program) -> None:
    """Nobody listens at the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        program.settings["bimpe"]["base_url"] = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

        ended = program.run("sync", "voice", "devices")

    assert (ended.code, ended.lines) == (
        1,
        ["Connection voice: BimpeAI could not be reached: the connection was refused (tried 2 times).", KEPT, REACH],
    )
    assert [line[:2] for line in ended.table[1:]] == [["voice", "failed"], ["devices", "succeeded"]]


def test_an_unresolvable_name(program: Program) -> None:
    """The name of the host leads nowhere."""
    program.settings["bimpe"]["base_url"] = "https://nowhere.invalid/v1"

    ended = program.run("sync", "voice")

    assert (ended.code, ended.lines) == (
        1,
        ["Connection voice: BimpeAI could not be reached: its host name does not resolve (tried 2 times).", KEPT, REACH],
    )


def test_a_next_link_to_a_foreign_host(program: Program, foreign: Sandbox) -> None:
    """It is not followed: no credential, and nothing else, reaches the other host; what was loaded before stays."""
    program.sandbox.faults.add("foreign_next", provider="tuple", after=2, origin=foreign.origin)

    ended = program.run("sync", "pairing")

    assert (ended.code, ended.lines) == (
        1,
        [
            (
                f"Connection pairing: a link of the provider leads to another address, {foreign.origin}, than the one "
                f"configured, {program.sandbox.origin}."
            ),
            "It was not followed, so no credential was sent there; what was loaded before stays.",
            "If the provider has moved, set base_url to its new address.",
        ],
    )
    assert rows(program.url, "SELECT count(*) > 0 FROM calls") == [(True,)]
    recovers(program, "pairing")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_redirect_to_a_foreign_host(program: Program, foreign: Sandbox, provider: str) -> None:
    """It is not followed either."""
    program.sandbox.faults.add("redirect", provider=provider, after=2, origin=foreign.origin)
    name = NAMES[provider]

    ended = program.run("sync", name)

    assert (ended.code, ended.lines) == (
        1,
        [
            f"Connection {name}: {CAST[provider].title} redirects to another address, {foreign.origin}.",
            "It was not followed, so no credential was sent there; what was loaded before stays.",
            (
                f"If the provider has moved, set connections.{name}.base_url to its new address; else a proxy or a login page of "
                "your network stands between."
            ),
        ],
    )
    recovers(program, name)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_list_that_never_ends(program: Program, provider: str) -> None:
    """Every page says that another follows: the sync ends all the same, keeps every call, and says so if it cannot tell."""
    program.sandbox.faults.add("endless_next", provider=provider)
    name = NAMES[provider]

    ended = program.run("sync", name)

    held, true = held_and_true(program)
    assert held[name] == true[name]
    assert len(program.sandbox.requests(provider)) < 40
    if ended.code == 0:  # the provider's own total shows the end
        assert CAST[provider].totals
    else:
        assert ended.lines == [
            f"Connection {name}: the provider says that page 8 follows, but page 7 is empty.",
            "What was read before is kept; the mark stands where nothing is missing below it.",
            "Run the sync again; if it persists, report it to the provider.",
        ]
    recovers(program, name)


def test_a_web_page_with_200(program: Program) -> None:
    """A login page or a maintenance page is no empty list: every connection fails, and nothing is claimed."""
    program.sandbox.faults.add("html_200", after=0)

    ended = program.run("sync")

    assert ended.code == 1
    assert ended.lines == [
        line
        for provider in PROVIDERS
        for line in (
            f"Connection {NAMES[provider]}: {CAST[provider].title} sent a web page instead of JSON (tried 2 times).",
            KEPT,
            BETWEEN,
        )
    ]
    assert rows(program.url, "SELECT count(*) FROM sync.state WHERE NOT isempty(coverage)") == [(0,)]
    recovers(program, *(NAMES[provider] for provider in PROVIDERS))


def test_a_response_of_300_megabytes(program: Program) -> None:
    """It is given up at the cap, also where one record is asked for in place of five, and never stands in memory."""
    program.sandbox.faults.add("huge", provider="krosai")
    measured = program.folder / "measured"
    program.configure()

    ended = program.ask(sys.executable, "-c", MEASURE, str(measured), *program.command("sync", "telephony"))

    assert (ended.code, ended.lines) == (
        1,
        [
            "Connection telephony: a response is larger than 64 MB.",
            "It was not read further, and nothing of it was stored; what was loaded before stays.",
            "Lower connections.telephony.per_page, or raise http.max_response_mb.",
        ],
    )
    assert int(measured.read_text()) * (1 if sys.platform == "linux" else 1 / 1024) < MEMORY
    assert [entry.query["limit"] for entry in program.sandbox.requests("krosai")] == ["5", "1"]
    recovers(program, "telephony")
