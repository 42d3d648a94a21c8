"""The configuration as a whole: where values come from, which one counts, and how problems are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl import config
from etl.config import Settings
from etl.config.settings import (
    ConnectionSettings,
    HttpSettings,
    NotifySettings,
    RetentionSettings,
    WarehouseSettings,
    WorkerSettings,
    connection_keys,
)
from etl.errors import UsageError

ROOT = Path(__file__).parents[2]
NO_SECRETS = Path(__file__).parent / "no-such-directory"
PAIRING = '[connections.pairing]\nprovider = "tuple"\ntoken = "sk-made-up"\n'

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Give a function that loads a document and an environment, with no container secrets."""

    def _load(document: str, environ: Mapping[str, str] | None = None, *, secrets: Path = NO_SECRETS) -> Settings:
        path = tmp_path / "given.toml"
        path.write_text(document, encoding="utf-8")
        return config.load(path, environ or {}, container_secrets=secrets)

    return _load


@pytest.fixture
def refusal(load: Load) -> Callable[..., str]:
    """Give a function that returns the text of the UsageError that a document meets."""

    def _refusal(document: str, environ: Mapping[str, str] | None = None, *, secrets: Path = NO_SECRETS) -> str:
        with pytest.raises(UsageError) as caught:
            load(document, environ, secrets=secrets)
        assert caught.value.exit_code == 2
        assert caught.value.__cause__ is None  # what is printed under --debug would show values
        return str(caught.value)

    return _refusal


# ── Where values come from ──────────────────────────────────────────────────────────────────────────────────────────


def test_all_keys(load: Load) -> None:
    """Every key of the design's document means what it says."""
    settings = load("""
        [warehouse]
        url = "postgresql+psycopg://etl@localhost:5432/warehouse"
        reporting_timezone = "Europe/Berlin"
        [http]
        timeout = 10
        max_attempts = 3
        backoff = 0.1
        max_backoff = 5
        max_response_mb = 8
        [connections.telephony]
        provider = "krosai"
        token = "kros_made_up"
        organization_id = "org-1"
        start_date = 2026-01-01
        base_url = "https://example.com/v1/"
        per_page = 50
        lookback = "24h"
        retention = "90d"
        rate_limit = "60/min"
        daily_requests = 1000
        schedule = "*/15 * * * *"
        audit_schedule = "0 4 * * 7"
        erase_transcripts_after = "365d"
        erase_calls_after = "1825d"
        details = false
        max_open_age = "3d"
        currency = "EUR"
        max_delete_share = 0.5
    """)

    telephony = settings.connections["telephony"]
    assert settings.warehouse.url is not None
    assert settings.warehouse.url.get_secret_value() == "postgresql+psycopg://etl@localhost:5432/warehouse"
    assert settings.warehouse.reporting_timezone == "Europe/Berlin"
    assert settings.http == HttpSettings(timeout=10, max_attempts=3, backoff=0.1, max_backoff=5, max_response_mb=8)
    assert telephony.token is not None
    assert telephony.token.get_secret_value() == "kros_made_up"
    assert telephony.model_dump(exclude={"token"}) == {
        "provider": "krosai",
        "organization_id": "org-1",
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "base_url": "https://example.com/v1",
        "allow_http": False,
        "per_page": 50,
        "lookback": timedelta(hours=24),
        "retention": timedelta(days=90),
        "rate_limit": {"requests": 60, "per": timedelta(minutes=1)},
        "daily_requests": 1000,
        "schedule": "*/15 * * * *",
        "audit_schedule": "0 4 * * 7",
        "erase_transcripts_after": timedelta(days=365),
        "erase_calls_after": timedelta(days=1825),
        "details": False,
        "max_open_age": timedelta(days=3),
        "currency": "EUR",
        "max_delete_share": 0.5,
        "agents": None,
    }


def test_environment_over_secrets_over_file(load: Load, tmp_path: Path) -> None:
    """The environment counts most, then the secrets directory, then the file; key by key."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "connections__pairing__token").write_text("from-secret\n")
    (secrets / "connections__pairing__per_page").write_text("7")
    (secrets / "postgres_password").write_text("somebody else's")

    found = load(
        PAIRING + "per_page = 5\ndaily_requests = 9\n",
        {"ETL_CONNECTIONS__PAIRING__PER_PAGE": "8", "PATH": "/bin"},
        secrets=secrets,
    ).connections["pairing"]

    assert found.token is not None
    assert (found.token.get_secret_value(), found.per_page, found.daily_requests) == ("from-secret", 8, 9)


def test_secrets_directory_of_the_environment(load: Load, tmp_path: Path) -> None:
    """ETL_SECRETS_DIR names another directory than the containers'."""
    (tmp_path / "warehouse__url").write_text("postgresql://u:p@db/w\n")

    found = load(PAIRING, {"ETL_SECRETS_DIR": str(tmp_path)}).warehouse.url

    assert found is not None
    assert found.get_secret_value() == "postgresql://u:p@db/w"


def test_connection_by_environment_alone(load: Load) -> None:
    """A connection needs no file; lists, numbers and truth values are read from text, and a name may hold `__`."""
    found = load(
        "",
        {
            "ETL_CONNECTIONS__MY__VOICE__PROVIDER": "bimpe",
            "ETL_CONNECTIONS__MY__VOICE__AGENTS": '["a-1", "b-2"]',
            "ETL_CONNECTIONS__MY__VOICE__DETAILS": "false",
            "ETL_CONNECTIONS__MY__VOICE__START_DATE": "2026-01-01T00:00:00+02:00",
            "ETL_CONNECTIONS__MY__VOICE__PER_PAGE": "",
        },
    )

    assert found.connections == {
        "my__voice": ConnectionSettings(
            provider="bimpe", agents=("a-1", "b-2"), details=False, start_date=datetime(2025, 12, 31, 22, tzinfo=UTC)
        )
    }


def test_file_named_by_the_environment(tmp_path: Path) -> None:
    """ETL_CONFIG names the file where no other was asked for, and that file has to exist."""
    (tmp_path / "a.toml").write_text(PAIRING)

    assert list(config.load(None, {"ETL_CONFIG": str(tmp_path / "a.toml")}).connections) == ["pairing"]
    with pytest.raises(UsageError, match=r"b\.toml does not exist.*etl init"):
        config.load(None, {"ETL_CONFIG": str(tmp_path / "b.toml")})


def test_byte_order_mark(load: Load) -> None:
    """A file saved with a byte order mark is read."""
    assert list(load("\ufeff" + PAIRING).connections) == ["pairing"]


def test_defaults() -> None:
    """With nothing given, the warehouse is the embedded server and no connection is there."""
    assert Settings().model_dump() == {
        "warehouse": {
            "url": None,
            "erasure_key": None,
            "reporting_timezone": "UTC",
            "distributed": False,
            "data_dir": None,
            "bin_dir": None,
            "run_as": None,
        },
        "http": {"timeout": 30, "max_attempts": 8, "backoff": 0.5, "max_backoff": 60, "max_response_mb": 64},
        "worker": {"concurrency": 8, "listen": ("127.0.0.1", 9464), "stop_after": timedelta(seconds=45)},
        "retention": {"runs": timedelta(days=400), "jobs": timedelta(days=7), "audits": timedelta(days=400)},
        "notify": {"url": None, "heartbeat_url": None, "alert_after": timedelta(hours=2)},
        "connections": {},
    }


def test_retention_of_our_own_records(load: Load) -> None:
    """In the file or the environment, as durations like everywhere; another key is an error that names the nearest."""
    settings = load('[retention]\nruns = "90d"', {"ETL_RETENTION__AUDITS": "720d"})
    assert settings.retention.model_dump() == {
        "runs": timedelta(days=90),
        "jobs": timedelta(days=7),
        "audits": timedelta(days=720),
    }

    with pytest.raises(UsageError, match=r"retention\.run: unknown key; did you mean runs\?"):
        load('[retention]\nrun = "90d"')
    with pytest.raises(UsageError, match=r"ETL_RETENTIONS__RUNS: .*did you mean ETL_RETENTION__RUNS\?"):
        load("", {"ETL_RETENTIONS__RUNS": "90d"})
    with pytest.raises(UsageError, match=r"retention\.audits: must be a duration like 90s, 15m, 24h or 8d"):
        load('[retention]\naudits = "1 year"')


def test_who_is_told(load: Load, tmp_path: Path) -> None:
    """The two addresses may come from a secrets directory, and are shown nowhere; on this machine http:// will do."""
    (tmp_path / "notify__url").write_text("https://hooks.example.com/services/1a2b3c?x=y\n", encoding="utf-8")
    given = {"ETL_NOTIFY__HEARTBEAT_URL": "http://127.0.0.1:9/beat/4d5e6f"}
    settings = load('[notify]\nalert_after = "30m"', given, secrets=tmp_path)

    assert settings.notify.url is not None
    assert settings.notify.url.get_secret_value() == "https://hooks.example.com/services/1a2b3c?x=y"
    assert settings.notify.heartbeat_url is not None
    assert settings.notify.heartbeat_url.get_secret_value() == "http://127.0.0.1:9/beat/4d5e6f"
    assert settings.notify.alert_after == timedelta(minutes=30)
    assert settings.secrets == {
        "https://hooks.example.com/services/1a2b3c?x=y",
        "/services/1a2b3c?x=y",
        "http://127.0.0.1:9/beat/4d5e6f",
        "/beat/4d5e6f",
    }
    assert "1a2b3c" not in f"{settings!r}{settings}"


# ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('[connections.pairing]\nprovider = "tuple"\ntokn = "x"', "connections.pairing.tokn: unknown key; did you mean token?"),
        ("[warehous]", "warehous: unknown key; did you mean warehouse?"),
        ("[http]\ntimeot = 3", "http.timeot: unknown key; did you mean timeout?"),
        ("[http]\nzzz = 3", "http.zzz: unknown key; known are timeout, max_attempts, backoff, max_backoff, max_response_mb"),
        ("[http]\ntimeout = true", "http.timeout: must be a number"),
        ('[http]\ntimeout = "soon"', "http.timeout: must be a number"),
        ("[http]\ntimeout = nan", "http.timeout: must be"),
        ("[http]\nmax_attempts = 0", "http.max_attempts: must be at least 1"),
        ("[http]\nmax_attempts = 1.5", "http.max_attempts: must be a whole number"),
        ("warehouse = 3", "warehouse: must be a table"),
        ("connections = 3", "connections: must hold tables like [connections.pairing]"),
        ("[connections]\npairing = 3", "connections.pairing: must be a table"),
        ('[warehouse]\nurl = "mysql://u:p@h/d"', "warehouse.url: must be an address like postgresql+psycopg://"),
        ('[warehouse]\nreporting_timezone = "Europe/Berlim"', "is no time zone; did you mean Europe/Berlin?"),
        ("[connections.pairing]", "connections.pairing.provider: is missing"),
        ('[connections.pairing]\nprovider = "tupel"', "connections.pairing.provider: is no provider; did you mean tuple?"),
        ('[connections.Pairing]\nprovider = "tuple"', "connections.Pairing: a connection's name has small letters"),
        (PAIRING + 'agents = ["a"]', "connections.pairing.agents: is a setting of bimpe only; leave it out here"),
        (PAIRING + 'organization_id = "o"', "connections.pairing.organization_id: is a setting of krosai"),
        ('[connections.v]\nprovider = "bimpe"\nagents = []', "connections.v.agents: is empty; leave it out to mean all"),
        ('[connections.v]\nprovider = "bimpe"\nagents = ["a", 3]', "connections.v.agents, element 2: must be text in quotes"),
        (PAIRING + 'base_url = "http://api.example.com"', "connections.pairing.base_url: must begin with https://"),
        (PAIRING + 'base_url = "https://u:p@example.com"', "must hold no user and no password"),
        (PAIRING + 'base_url = "example.com"', "must be an address like https://api.example.com/v1"),
        (PAIRING + 'lookback = "1 day"', "connections.pairing.lookback: must be a duration like 90s, 15m, 24h or 8d"),
        (PAIRING + 'rate_limit = "60"', "must be a number of requests per time like 60/min, 10/s or 1000/h"),
        (PAIRING + 'schedule = "* * *"', "must be a cron expression of five fields"),
        (PAIRING + "start_date = 12:00:00", "must be a date like 2026-01-31"),
        (PAIRING + "max_delete_share = 20", "must be at most 1"),
        (PAIRING + 'currency = "dollars"', "must be a currency of three letters like USD"),
        (PAIRING + 'details = "perhaps"', "must be true or false"),
        ('[connections.p]\nprovider = "tuple"\ntoken = "sk-tuple-…"', "connections.p.token: holds blanks or characters"),
        ('[connections.p]\nprovider = "tuple"\ntoken = " "', "connections.p.token: is empty"),
        ('[connections.p]\nprovider = "tuple"\ntoken = 3', "connections.p.token: must be text in quotes"),
        ('[notify]\nurl = "http://hooks.example.com/1a2b3c4d"', "notify.url: must begin with https://: over http:// anybody"),
        ('[notify]\nurl = "hooks.example.com"', "notify.url: must be an address like https://hooks.example.com/"),
        ('[notify]\nheartbeat_url = "https://u:p@example.com"', "notify.heartbeat_url: must hold no user and no password"),
        ('[notify]\nurl = "https://hooks.example.com/…"', "notify.url: holds characters that no address has"),
        ('[notify]\nalert_after = "soon"', "notify.alert_after: must be a duration like 90s, 15m, 24h or 8d"),
        ("[notify]\nurl = 3", "notify.url: must be text in quotes"),
        ('[http]\ntimeout = "30', "is not valid TOML: "),
        ("[http]\n[http]", "(at line 2, column 6)"),
        (PAIRING + PAIRING, "This key or section stands in the file already: keep one of the two."),
        ("[http]\ntimeout = 30\ntimeout = 60", "This key or section stands in the file already: keep one of the two."),
    ],
)
def test_refused(refusal: Callable[..., str], document: str, told: str) -> None:
    """Each mistake is told with its place and what was expected."""
    text = refusal(document)

    assert told in text
    assert "Nothing was started." in text


def test_all_problems_at_once(refusal: Callable[..., str], tmp_path: Path) -> None:
    """The file's, the secrets' and the environment's problems are told together, with where each came from."""
    (tmp_path / "http__backoff").write_text("a while")

    text = refusal(
        '[connections.pairing]\nprovider = "tuple"\ntokn = "x"',
        {"ETL_HTTP__TIMEOUT": "soon", "ETL_CONFG": "c.toml", "ETL_TEST_SERVER": "ours", "ETL_CONNECTIONS__TOKEN": "x"},
        secrets=tmp_path,
    )

    assert text.splitlines() == [
        "The configuration is not valid: ",
        "  ETL_CONFG: unknown environment variable; did you mean ETL_CONFIG?",
        "  ETL_CONNECTIONS__TOKEN: unknown environment variable; did you mean ETL_CONNECTIONS__NAME__TOKEN?",
        "  http.timeout (environment variable ETL_HTTP__TIMEOUT): must be a number",
        "  http.backoff (secret file http__backoff): must be a number",
        "  connections.pairing.tokn: unknown key; did you mean token? ",
        "Nothing was started. etl init example.toml writes every key with its meaning; docs/configuration.md has more.",
    ]


def test_missing_secrets_directory(refusal: Callable[..., str]) -> None:
    """A secrets directory that was asked for has to exist."""
    assert "ETL_SECRETS_DIR: there is no such directory" in refusal("", {"ETL_SECRETS_DIR": str(NO_SECRETS)})


def test_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is refused with what to do."""
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="is not UTF-8 text"):
        config.load(path, {})


def test_plain_http_where_it_is_harmless(load: Load) -> None:
    """Plain http is taken on loopback, and elsewhere where it was permitted."""
    for line in (
        'base_url = "http://127.0.0.1:8000/x"',
        'base_url = "http://localhost"',
        'base_url = "http://[::1]:1"',
        'base_url = "http://api.example.com"\nallow_http = true',
    ):
        assert load(PAIRING + line).connections["pairing"].base_url is not None


# ── Choosing connections ────────────────────────────────────────────────────────────────────────────────────────────


def test_no_connection_configured() -> None:
    """Without any connection the way to one is shown."""
    with pytest.raises(UsageError, match=r"No connection is configured\..*take the # away.*etl init"):
        Settings().choose()


def test_choose(load: Load) -> None:
    """All connections are chosen, or those named; an unknown name is told the nearest known one."""
    settings = load(PAIRING + PAIRING.replace("pairing", "other"))

    assert list(settings.choose()) == ["pairing", "other"]
    assert list(settings.choose(("other",))) == ["other"]
    with pytest.raises(UsageError, match=r"There is no connection 'pairin'\..*Did you mean pairing\?"):
        settings.choose(("pairin",))


def test_choose_without_token(load: Load) -> None:
    """A connection without its token can be configured, but not chosen: the setting and the variable are named."""
    settings = load('[connections.pairing]\nprovider = "tuple"')

    with pytest.raises(UsageError, match=r"connections\.pairing\.token is missing \(or ETL_CONNECTIONS__PAIRING__TOKEN\)"):
        settings.choose()


# ── What is shipped and written about it ────────────────────────────────────────────────────────────────────────────


def _keys() -> dict[str, list[str]]:
    return {
        "warehouse": list(WarehouseSettings.model_fields),
        "http": list(HttpSettings.model_fields),
        "worker": list(WorkerSettings.model_fields),
        "retention": list(RetentionSettings.model_fields),
        "notify": list(NotifySettings.model_fields),
        "connections": connection_keys(),
    }


def test_example_loads(load: Load) -> None:
    """The example that `etl init` writes is the checkout's, loads as it is, and configures nothing."""
    assert (ROOT / "config.example.toml").read_text(encoding="utf-8") == config.example()
    assert load(config.example()) == Settings()


def test_example_loads_uncommented(load: Load) -> None:
    """With every `#` taken away before a setting, the example loads still, and it shows every key that there is."""
    document = re.sub(r"(?m)^#(?=[\[a-z])", "", config.example())
    settings = load(document)

    assert list(settings.connections) == ["pairing", "voice", "box", "support", "programmable", "telephony"]
    for keys in _keys().values():
        for key in keys:
            assert re.search(rf"(?m)^{key} = ", document), key


def test_documentation_is_complete() -> None:
    """docs/configuration.md has a row for every key of every section, and no other."""
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    sections = re.split(r"(?m)^## \[(\w+)[^\]]*\]$", text)
    documented = {
        name: sorted(re.findall(r"(?m)^\| `(\w+)` \|", body)) for name, body in zip(sections[1::2], sections[2::2], strict=True)
    }

    assert documented == {name: sorted(keys) for name, keys in _keys().items()}
