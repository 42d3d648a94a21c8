"""Settings that one provider alone knows: they come from everywhere, are nobody else's business, and are shown nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from etl import config, providers
from etl.config import Settings
from etl.errors import UsageError
from etl.provider import Basic, Provider, Setting
from etl.wiring import account

DOCUMENT = '[connections.desk]\nprovider = "krosai"\ntoken = "made-up-token"\napi_id = "made-up-id"\naccount_sid = "AC17"\n'
OWN = (Setting(name="account_sid", secret=False), Setting(name="api_id"), Setting(name="region", required=False, secret=False))

Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def basic(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """Let KrosAI have a login of two settings, and an account in its paths."""
    form = replace(providers.get("krosai"), headers=(), login=Basic(user=("api_id",)), own=OWN, links={"api_id": "the desk"})
    get = providers.get
    monkeypatch.setattr(providers, "get", lambda name: form if name == "krosai" else get(name))
    return form


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Give a function that loads a document, an environment and secret files."""

    def _load(document: str, environ: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None) -> Settings:
        (path := tmp_path / "given.toml").write_text(document)
        (folder := tmp_path / "secrets").mkdir(exist_ok=True)
        for name, value in (secrets or {}).items():
            (folder / name).write_text(value)
        return config.load(path, environ or {}, container_secrets=folder)

    return _load


def told(load: Load, document: str, environ: Mapping[str, str] | None = None) -> str:
    """Return what a document is refused with."""
    with pytest.raises(UsageError) as refusal:
        load(document, environ).choose()
    return str(refusal.value)


def test_own_settings_come_from_file_secrets_and_environment(load: Load) -> None:
    """A later source counts more, as for every other key; blanks around a value are not its own."""
    found = load(
        DOCUMENT,
        {"ETL_CONNECTIONS__DESK__API_ID": "from-environment"},
        {"connections__desk__api_id": "from-file\n", "connections__desk__account_sid": " AC18\n"},
    ).connections["desk"]

    sent = ("account_sid", "api_id", "token", "region")
    assert [None if (value := found.given(name)) is None else value.get_secret_value() for name in sent] == [  # type: ignore[union-attr]
        "AC18",
        "from-environment",
        "made-up-token",
        None,
    ]
    assert account("desk", found).own == {"account_sid": "AC18"}


def test_own_settings_are_masked_everywhere(load: Load) -> None:
    """No form of the settings shows them, and logs mask those that are secret."""
    settings = load(DOCUMENT)

    assert settings.secrets == {"made-up-token", "made-up-id"}
    assert not any(value in repr(settings) + str(settings) for value in ("made-up-token", "made-up-id", "AC17"))


def test_own_settings_are_no_business_of_other_providers(load: Load) -> None:
    """There they are refused, with the provider whose they are; a misspelt one is answered with the nearest."""
    other = DOCUMENT.replace('"krosai"', '"tuple"').replace('account_sid = "AC17"\n', "")

    assert "connections.desk.api_id: is a setting of krosai and aircall only; leave it out here" in told(load, other)
    assert "connections.desk.api_di: unknown key; did you mean api_id?" in told(load, DOCUMENT.replace("api_id", "api_di"))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('" "', "is empty"),
        ('"made up"', "holds blanks or characters"),
        ("5", "must be text in quotes"),
        ('["a"]', "must be text"),
    ],
)
def test_an_own_setting_that_cannot_be_used_is_refused_unseen(load: Load, value: str, problem: str) -> None:
    """With its place, its source and what is wrong."""
    refused = told(load, DOCUMENT.replace('"made-up-id"', value))

    assert f"connections.desk.api_id: {problem}" in refused
    assert "made" not in refused.replace("made-up-id", "")
    environment = told(load, DOCUMENT, {"ETL_CONNECTIONS__DESK__API_ID": "made up"})
    assert "connections.desk.api_id (environment variable ETL_CONNECTIONS__DESK__API_ID): holds blanks" in environment


def test_missing_own_settings_are_all_named(load: Load) -> None:
    """Before anything is asked for; an optional one is not missed."""
    refused = told(load, '[connections.desk]\nprovider = "krosai"\n')

    assert "connections.desk.account_sid is missing (or ETL_CONNECTIONS__DESK__ACCOUNT_SID)." in refused
    assert "connections.desk.api_id is missing (or ETL_CONNECTIONS__DESK__API_ID). It is made here: the desk." in refused
    assert "connections.desk.token is missing" in refused
    assert "region" not in refused


def test_own_settings_must_be_named_as_they_are(load: Load) -> None:
    """The place where they are gathered is no key."""
    assert "connections.desk.own: unknown key" in told(load, DOCUMENT + 'own = { api_id = "x" }\n')
