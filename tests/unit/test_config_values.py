"""The forms of single settings, and the property that no secret shows in an error or a repr."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import config
from etl.config import Settings, values
from etl.config.sources import gather
from etl.errors import UsageError
from etl.provider import Limit


@given(st.integers(min_value=1, max_value=36_500 * 86_400).map(lambda seconds: timedelta(seconds=seconds)))
def test_duration_round_trip(duration: timedelta) -> None:
    """Every duration of whole seconds has a text that means it."""
    assert values.duration(values.duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(hours=24)),
        (" 8d ", timedelta(days=8)),
        ("36500d", timedelta(days=36_500)),
    ],
)
def test_duration(text: str, meant: timedelta) -> None:
    """A duration is a whole number and a unit."""
    assert values.duration(text) == meant


@pytest.mark.parametrize("given", ["", "5", "h", "1.5h", "-1h", "1h30m", "0s", "36501d", "9999999999d", "٣h", 5, None, True])
def test_no_duration(given: object) -> None:
    """Everything else is refused, what would overflow included."""
    with pytest.raises(ValueError, match="must be"):
        values.duration(given)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("60/min", Limit(requests=60, per=timedelta(minutes=1))),
        ("10/s", Limit(requests=10, per=timedelta(seconds=1))),
        ("1000/h", Limit(requests=1000, per=timedelta(hours=1))),
        ("5000 / day", Limit(requests=5000, per=timedelta(days=1))),
    ],
)
def test_rate(text: str, meant: Limit) -> None:
    """A rate is a number of requests and a unit of time."""
    assert values.rate(text) == meant


@pytest.mark.parametrize("given", ["60", "60/", "/s", "0/s", "60/week", "-1/s", 60])
def test_no_rate(given: object) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError, match="requests per time"):
        values.rate(given)


@given(st.datetimes(timezones=st.sampled_from([UTC])))
def test_instant_round_trip(at: datetime) -> None:
    """An instant written in ISO form means itself, with and without its offset."""
    assert values.instant(at.isoformat()) == at
    assert values.instant(at.replace(tzinfo=None)) == at
    assert values.instant(at.date()) == at.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize("text", ["* * * * *", "*/15 0-6 1,15 jan-mar mon", "59 23 31 12 7", "0 0 * * 1-5/2"])
def test_schedule(text: str) -> None:
    """Steps, ranges, lists and names are cron's."""
    assert values.schedule(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "@daily", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *"],
)
def test_no_schedule(text: str) -> None:
    """What cron does not know is refused."""
    with pytest.raises(ValueError, match="cron"):
        values.schedule(text)


@pytest.mark.parametrize("text", ["5-1 * * * *", "a * * * *", "1- * * * *", "1/ * * * *", ", * * * *", "jan * * * *"])
def test_malformed_schedule(text: str) -> None:
    """A field that cannot be read is named."""
    with pytest.raises(ValueError, match="has a minute that cron does not know"):
        values.schedule(text)


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(environ: Mapping[str, str]) -> Settings:
    """Load from the environment alone, whatever this machine has."""
    nothing = Path(os.devnull)
    return config.load(nothing, environ, container_secrets=nothing)


_SECRETS = st.text("abcdefXYZ0123456789_-", min_size=12, max_size=40).map("s3cr3t".__add__)
_PLACES = st.sampled_from(
    [
        "CONNECTIONS__PAIRING__TOKEN",
        "CONNECTIONS__PAIRING__PROVIDER",
        "CONNECTIONS__PAIRING__TOKN",
        "CONNECTIONS__PAIRING__LOOKBACK",
        "CONNECTIONS__PAIRING__START_DATE",
        "CONNECTIONS__PAIRING__BASE_URL",
        "CONNECTIONS__PAIRING__SCHEDULE",
        "CONNECTIONS__PAIRING__RATE_LIMIT",
        "CONNECTIONS__PAIRING__DETAILS",
        "CONNECTIONS__PAIRING__CURRENCY",
        "CONNECTIONS__PAIRING__PER_PAGE",
        "CONNECTIONS__PAIRING__AGENTS",
        "CONNECTIONS__PAIRING__MAX_DELETE_SHARE",
        "WAREHOUSE__URL",
        "NOTIFY__URL",
        "NOTIFY__HEARTBEAT_URL",
        "NOTIFY__ALERT_AFTER",
        "WAREHOUSE__REPORTING_TIMEZONE",
        "HTTP__TIMEOUT",
        "HTTP__MAX_ATTEMPTS",
        "UNKNOWN",
    ]
)
_WRAPPED = st.sampled_from(
    ["{}", "{} with blanks", "{}…", "postgresql://etl:{}@db/warehouse", "https://etl:{}@example.com", "https://h.example.com/{}"]
)


@given(secret=_SECRETS, place=_PLACES, wrapped=_WRAPPED, provider=st.sampled_from(["tuple", "tupel"]))
def test_no_secret_in_any_error_or_repr(secret: str, place: str, wrapped: str, provider: str) -> None:
    """A secret, wherever it was put, is in no error and in no repr or str of the settings."""
    environ = {"ETL_CONNECTIONS__PAIRING__PROVIDER": provider, f"ETL_{place}": wrapped.format(secret)}
    secret_places = (
        "CONNECTIONS__PAIRING__TOKEN",
        "WAREHOUSE__URL",
        "NOTIFY__URL",
        "NOTIFY__HEARTBEAT_URL",
    )  # what is put elsewhere and accepted is no secret
    try:
        settings = _load(environ)
        told = f"{settings!r}{settings}{settings.model_dump()}" if place in secret_places else ""
    except UsageError as exc:
        told = f"{exc}{exc!r}{exc.__cause__!r}"

    assert secret not in told


def test_secret_in_broken_toml(tmp_path: Path) -> None:
    """A document that is no TOML is told by line and column, without any of its text."""
    path = tmp_path / "c.toml"
    path.write_text('[connections.pairing]\ntoken = "s3cr3t-made-up\n')

    with pytest.raises(UsageError, match=r"at line 2, column 24") as caught:
        gather(path, {})

    assert "s3cr3t" not in f"{caught.value}{caught.value.__cause__!r}"


def test_secrets_are_listed() -> None:
    """The tokens, the database's address and its password (as written and as meant) are listed for whoever masks them."""
    settings = _load(
        {
            "ETL_WAREHOUSE__URL": "postgresql://etl:p%40ss@db.example.com/warehouse",
            "ETL_CONNECTIONS__PAIRING__PROVIDER": "tuple",
            "ETL_CONNECTIONS__PAIRING__TOKEN": "sk-made-up",
        }
    )

    assert settings.secrets == {"sk-made-up", "postgresql://etl:p%40ss@db.example.com/warehouse", "p%40ss", "p@ss"}


# ── worker.listen ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (" localhost:80 ", ("localhost", 80)),
        ("[::1]:9464", ("::1", 9464)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("off", None),
        ("Off", None),
    ],
)
def test_where_to_listen(text: str, meant: tuple[str, int] | None) -> None:
    """An address with a port, that of IPv6 in brackets; or nowhere."""
    assert values.listen(text) == meant


@pytest.mark.parametrize("text", ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:9464"])
def test_nowhere_to_listen(text: str) -> None:
    """Anything else is told what it must be."""
    with pytest.raises(ValueError, match=r'must be an address and a port like "127\.0\.0\.1:9464", or "off"'):
        values.listen(text)
