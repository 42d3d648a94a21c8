"""What a user reads where a provider does not let the program in: what happened, what is safe, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import NAMES, PROVIDERS
from tests.acceptance.process import Program, held_and_true, hourly, rows
from tests.acceptance.stage import quiet_history

KEPT = "What was loaded before stays, and the next sync continues there."
SAID = {
    "tuple": ("Tuple", "Unauthorized"),
    "bimpe": ("BimpeAI", "Invalid API key. [api_key_invalid]"),
    "salpre": ("Salpre", "Unauthorized. Missing or invalid account-secret-key"),
    "krosai": ("KrosAI", "Invalid API key [INVALID_API_KEY]"),
    "aircall": ("Aircall", "Forbidden"),
    "twilio": ("Twilio", "Authenticate [20003]"),
}
CODE = dict.fromkeys(PROVIDERS, 401) | {"aircall": 403}  # whose edge answers so
TOGETHER = {"aircall": "connections.support.api_id and ", "twilio": "connections.programmable.account_sid and "}
OTHER = dict(zip(PROVIDERS, (*PROVIDERS[1:], PROVIDERS[0]), strict=True))
WHERE = {
    "tuple": "Tuple dashboard, team management, API tokens (team owners and managers; access is enabled by Tuple's support)",
    "bimpe": "BimpeAI console, Settings, API keys (a team key, `sk_…`, with the scope conversations:read)",
    "salpre": "Salpre dashboard, the account's secret key (where exactly is not documented: ask Salpre's support)",
    "krosai": "KrosAI dashboard, API keys (`kros_live_…`, with the scope calls:read)",
    "aircall": "Aircall dashboard, company settings, API keys (the API token)",
    "twilio": "Twilio console, Account Info (Auth Token), or the secret of the API key that key_sid names",
}


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before every provider with 30 calls each."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=PROVIDERS)
        hourly(program)
        yield program


def refused(provider: str) -> list[str]:
    """What is read of a credential that is not accepted."""
    title, said = SAID[provider]
    name = NAMES[provider]
    return [
        f"Connection {name}: {title} does not accept the credential (HTTP {CODE[provider]}: “{said}”).",
        KEPT,
        f"Check or replace {TOGETHER.get(provider, '')}connections.{name}.token. You find it at {WHERE[provider]}.",
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_wrong_token(program: Program, provider: str) -> None:
    """401 ends the connection with one request, the setting is named, and the other connections are synced."""
    program.settings[provider]["token"] = "made-up-token-that-nobody-knows"
    other = OTHER[provider]

    ended = program.run("sync", NAMES[provider], NAMES[other])

    assert (ended.code, ended.lines) == (1, refused(provider))
    assert [line[:2] for line in ended.table[1:]] == [[NAMES[provider], "failed"], [NAMES[other], "succeeded"]]
    assert [entry.status for entry in program.sandbox.requests(provider)] == [CODE[provider]]
    held, true = held_and_true(program)
    assert held[NAMES[other]] == true[NAMES[other]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_token_revoked_in_the_middle_of_a_run(program: Program, provider: str) -> None:
    """What was loaded before stays; once there is a valid token the next sync gets the rest, and reads little again."""
    program.sandbox.faults.add("revoke", provider=provider, after=3, times=1)

    ended = program.run("sync", NAMES[provider])

    # The sandbox's token for Salpre has a word in common with the sentence; whatever looks like a token is not shown.
    assert (ended.code, ended.lines) == (1, [line.replace("account-secret-key", "[secret]") for line in refused(provider)])
    kept = {call_id for (call_id,) in rows(program.url, "SELECT call_id FROM calls")}
    assert 0 < len(kept) < 30
    (run,) = rows(program.url, "SELECT status, error_code, inserted FROM sync.runs")
    assert run == ("failed", "authentication", len(kept))

    program.sandbox.faults.clear()
    program.sandbox.reinstate(provider)
    again = program.run("sync", NAMES[provider])

    assert (again.code, again.lines) == (0, [])
    held, true = held_and_true(program)
    assert held[NAMES[provider]] == true[NAMES[provider]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_token(program: Program, provider: str) -> None:
    """Nothing is started; the setting, its variable and the place where a token is made are named."""
    program.settings[provider]["token"] = None
    name = NAMES[provider]

    ended = program.run("sync")

    assert (ended.code, ended.out, ended.lines) == (
        2,
        "",
        [
            (
                f"connections.{name}.token is missing (or ETL_CONNECTIONS__{name.upper()}__TOKEN). "
                f"It is made here: {WHERE[provider]}."
            ),
            "Nothing was started.",
            "Then run: etl check",
        ],
    )
    assert program.sandbox.requests() == []


def test_a_token_from_the_environment_will_do(program: Program) -> None:
    """The variable that the sentence about a missing token names is the one that is read."""
    program.settings["tuple"]["token"] = None
    program.environment["ETL_CONNECTIONS__PAIRING__TOKEN"] = program.sandbox.tokens["tuple"]

    assert program.run("sync", "pairing").code == 0


def test_a_credential_without_rights(program: Program) -> None:
    """403 says which rights are missing, as far as the provider says it."""
    program.sandbox.switches.bimpe.forbidden = program.sandbox.switches.krosai.forbidden = True

    ended = program.run("sync", "voice", "telephony")

    assert (ended.code, ended.lines) == (
        1,
        [
            (
                "Connection voice: BimpeAI does not allow this credential to read (HTTP 403: “This API key is missing the "
                "required scope: conversations:read. [insufficient_scope]”)."
            ),
            KEPT,
            (
                f"It needs more rights, or is one of another account: check connections.voice.token. You find it at "
                f"{WHERE['bimpe']}."
            ),
            (
                "Connection telephony: KrosAI does not allow this credential to read (HTTP 403: “This API key does not have the "
                "required scope: calls:read [INSUFFICIENT_SCOPE]”)."
            ),
            KEPT,
            (
                f"It needs more rights, or is one of another account: check connections.telephony.token. You find it at "
                f"{WHERE['krosai']}."
            ),
        ],
    )
    assert len(program.sandbox.requests()) == 2


def test_an_unknown_agent(program: Program) -> None:
    """The agent is named, the other agents are synced, and the run has failed."""
    (known,) = [agent["id"] for agent in program.sandbox.history.agents()]
    program.settings["bimpe"]["agents"] = ["agent-none", known]

    ended = program.run("sync", "voice")

    assert (ended.code, ended.lines) == (
        1,
        [
            "Connection voice: the provider knows no agent 'agent-none'.",
            "The other agents were synced.",
            "Correct connections.voice.agents, or leave it out to sync every agent that the key can list.",
        ],
    )
    held, true = held_and_true(program)
    assert held["voice"] == true["voice"]


def test_check_says_of_every_credential_whether_it_works(program: Program) -> None:
    """What is wrong stands beside what works, and decides the exit code."""
    program.settings["tuple"]["token"] = "made-up-token-that-nobody-knows"

    ended = program.run("check")

    assert (ended.code, ended.lines) == (1, refused("tuple"))
    assert [line for line in ended.out.splitlines()[3:] if not line.startswith(" ")] == [
        "failed  connection pairing",
        "ok      connection voice: BimpeAI accepts the credential",
        "ok      connection devices: Salpre accepts the credential",
        "ok      connection telephony: KrosAI accepts the credential",
        "ok      connection support: Aircall accepts the credential",
        "ok      connection programmable: Twilio accepts the credential",
        "ok      alerts: they are only logged, since notify.url is not set; there is no heartbeat (nothing was sent)",
    ]
    assert len(program.sandbox.requests("tuple")) == 1
