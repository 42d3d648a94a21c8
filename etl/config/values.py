"""Parsers of single settings: durations, rates, dates, addresses, schedules. Their errors never show a value."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from etl import addresses
from etl.provider import Limit

LONGEST = timedelta(days=36_500)
"""The longest duration. A longer one is a typing error, and date arithmetic with it could overflow."""

CRON_FIELDS = 5

HIGHEST_PORT = 65_535

SHORTEST_KEY = 32
"""The characters of an erasure key: phone numbers are so few that a shorter one could be found with them."""

_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]\s]+)):(?P<port>[0-9]{1,5})")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DURATION = re.compile(r"([0-9]{1,10})([smhd])")
_PER = {
    **dict.fromkeys(("s", "sec", "second"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "minute"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hour"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day"), timedelta(days=1)),
}
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*([a-z]+)")
_SCHEMES = frozenset({"postgresql+psycopg", "postgresql", "postgres"})


# ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def duration(value: object) -> timedelta:
    """Return the duration that `90s`, `15m`, `24h` or `8d` stands for; more than zero and at most 36,500 days."""
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a duration like 90s, 15m, 24h or 8d")
    number, unit = int(found[1]), _UNITS[found[2]]
    if number == 0 or number > LONGEST / unit:
        raise ValueError("must be more than nothing and at most 36500d")
    return number * unit


def duration_text(value: timedelta) -> str:
    """Return the shortest text that `duration` reads as `value` (whole seconds)."""
    seconds = value // timedelta(seconds=1)
    for unit in ("d", "h", "m"):
        size = _UNITS[unit] // timedelta(seconds=1)
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def instant(value: object) -> datetime:
    """Return the instant that a date (midnight UTC) or a date with a time (UTC unless it has an offset) stands for."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    if isinstance(value, datetime):
        try:
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except OverflowError:
            value = None
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("must be a date like 2026-01-31, or a date with a time like 2026-01-31T09:00:00Z")


def zone(value: str) -> str:
    """Return the name of a time zone; it must exist."""
    name = value.strip()
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        near = get_close_matches(name, sorted(available_timezones()), n=1)
        raise ValueError(f"is no time zone; did you mean {near[0]}?" if near else "is no time zone like Europe/Berlin") from None
    return name


# ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def rate(value: object) -> Limit:
    """Return the limit that `60/min`, `10/s`, `1000/h` or `5000/day` stands for."""
    if isinstance(value, Limit):
        return value
    found = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None or found[2] not in _PER or int(found[1]) == 0:
        raise ValueError("must be a number of requests per time like 60/min, 10/s or 1000/h")
    return Limit(requests=int(found[1]), per=_PER[found[2]])


def base_url(value: str) -> str:
    """Return an address that paths can be appended to, without surrounding blanks; see `etl.addresses.base_url`."""
    return addresses.base_url(value.strip())


def token(value: str) -> str:
    """Return a credential that fits into a header, without surrounding blanks."""
    given = value.strip()
    if not given:
        raise ValueError("is empty")
    if not addresses.is_credential(given):
        raise ValueError("holds blanks or characters that no credential has; is it still the one of the example?")
    return given


def erasure_key(value: str) -> str:
    """Return the key of erasures, without surrounding blanks: long enough that nobody finds it by trying."""
    given = value.strip()
    if len(given) < SHORTEST_KEY:
        raise ValueError(f"must have {SHORTEST_KEY} characters at least; for a new one: openssl rand -hex 32")
    return given


def listen(value: object) -> object:
    """Return the host and port that `127.0.0.1:9464` or `[::1]:9464` stands for, and None for `off`."""
    if not isinstance(value, str):
        return value
    given = value.strip()
    if given.lower() == "off":
        return None
    found = _LISTEN.fullmatch(given)
    if found is None or int(found["port"]) > HIGHEST_PORT:
        raise ValueError('must be an address and a port like "127.0.0.1:9464", or "off"')
    return found["six"] or found["host"], int(found["port"])


# ── Names ────────────────────────────────────────────────────────────────────────────────────────────────────────


def name(value: str) -> str:
    """Return the name of a connection if it is valid."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value):
        raise ValueError("a connection's name has small letters, digits and _, begins with a letter and is no longer than 63")
    return value


def database_url(value: str) -> str:
    """Return the address of a Postgres database. Only its beginning is checked here, the rest when the warehouse is opened."""
    given = value.strip()
    scheme, mark, _ = given.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise ValueError("must be an address like postgresql+psycopg://user:password@host:5432/database")
    return given


def number(value: object) -> object:
    """Return the value unchanged. Raises ValueError for true and false, which pydantic would accept as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic lists ValueErrors only
    return value


def currency(value: str) -> str:
    """Return the code of a currency: three capital letters."""
    if not re.fullmatch(r"[A-Za-z]{3}", value.strip()):
        raise ValueError("must be a currency of three letters like USD")
    return value.strip().upper()


def folder(value: Path) -> Path:
    """Return the absolute form of a path; `~` is the home directory."""
    try:
        return value.expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with a home directory that does not exist") from None


def agents(value: object) -> object:
    """Return the list in a text from the environment (`a, b`, or a JSON list); anything else unchanged."""
    if not isinstance(value, str):
        return value
    return [part.strip().strip("\"'") for part in value.strip().removeprefix("[").removesuffix("]").split(",")]


def schedule(value: str) -> str:
    """Return a valid cron expression of five fields (minute, hour, day of month, month, day of week)."""
    fields = value.split()
    if len(fields) != CRON_FIELDS:
        raise ValueError('must be a cron expression of five fields like "*/15 * * * *"')
    expression = " ".join(fields)
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        named = re.fullmatch(r"Bad ([a-z-]+)", str(error))
        raise ValueError(
            f'has a {named[1] if named else "field"} that cron does not know; a schedule looks like "*/15 * * * *"'
        ) from None
    return expression
