"""
What reads outside input, as functions of bytes: each may raise the errors that it documents, and nothing else.

A time zone, a schedule or a record is made of the bytes as an attacker would have it; nothing here knows what is sensible.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from etl import addresses, json_text, printable, providers
from etl.config import load, values
from etl.errors import EtlError
from etl.http import compression, links
from etl.http.auth import Credentials
from etl.http.body import Unexpected, Unreadable, read_error, read_list, read_one
from etl.http.exchange import Reply
from etl.http.quota import ServerClock, quota
from etl.http.refusal import Refusals
from etl.http.retry import Failed, Throttled, asked_wait, http_date
from etl.model import Context, Record
from etl.provider import Provider
from etl.records import parse
from etl.records import values as readings
from etl.records.cutting import cut
from etl.records.derive import derive
from etl.records.identify import as_reject, identify_all, is_detail_of
from etl.records.shield import Cut, Shield
from etl.worker.due import next_sync

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
TYPES = (
    "application/json",
    "text/html",
    "application/json; charset=utf-16",
    "text/plain; charset=latin-1",
    "",
    "\x00;;charset==",
)
CODINGS = ("gzip", "deflate", "gzip, deflate", "br", "identity", "nonsense", "x-gzip,,gzip")
BASE = "https://api.example.com/v1"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _split(data: bytes) -> tuple[int, bytes]:
    """Return a number that chooses something, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def body_of_a_list(data: bytes) -> None:
    """A page, in any charset, with its list at the top or under a key."""
    choice, rest = _split(data)
    with suppress(Unreadable, Unexpected):
        body = read_list(rest, (("data",), ("results", "calls"), ())[choice % 3], content_type=TYPES[choice % len(TYPES)])
        for record in body.records:
            json_text.check(record)


def body_of_a_call(data: bytes) -> None:
    """A detail."""
    choice, rest = _split(data)
    with suppress(Unreadable, Unexpected):
        read_one(rest, ("data", None)[choice % 2], content_type=TYPES[choice % len(TYPES)])


def compressed(data: bytes) -> None:
    """A body in the coding that a header names, cut anywhere; no more is unpacked than is asked for."""
    choice, rest = _split(data)
    middle = len(rest) // 2
    size = 0
    with suppress(Failed):
        for part in compression.decoded(
            iter((rest[:middle], rest[middle:])), CODINGS[choice % len(CODINGS)], note=lambda _: None
        ):
            size += len(part)
            if size > 2**20:
                break


def headers(data: bytes) -> None:
    """`Link`, `Retry-After`, `Date`, `Location` and the rate headers."""
    text = _text(data)
    link = addresses.next_link(text)
    for url in (text, link or ""):
        links.absolute(url, BASE)
        links.shown_origin(url)
        with suppress(EtlError):
            links.check_same_origin(url, BASE)
        with suppress(EtlError):
            links.check_link_unfollowed(url, BASE)
    asked_wait({"retry-after": text}, text, now=NOW)
    http_date(text)
    parts = (*text.split("\n"), "", "", "")
    given = {
        "x-ratelimit-limit": parts[0],
        "x-ratelimit-remaining": parts[1],
        "x-ratelimit-reset": parts[2],
        "retry-after": parts[0],
    }
    quota(given, ServerClock(), now=NOW)


def _refusing(provider: Provider) -> Callable[[bytes], None]:
    credentials = Credentials(provider, dict.fromkeys(provider.sent_settings, "canary-token"), connection="fuzzed")
    refusals = Refusals(provider, credentials, base_url=BASE, connection="fuzzed")

    def error_body(data: bytes) -> None:
        choice, rest = _split(data)
        status = (400, 401, 403, 404, 410, 422, 429, 500, 501, 503, 302, 200)[choice % 12]
        given = {"location": _text(rest[:80]), "retry-after": _text(rest[:9])}
        reply = Reply(status=status, headers=given, body=rest, date=None, sent_at=NOW, url=BASE)
        body = read_error(rest, content_type=TYPES[choice % len(TYPES)])
        found = refusals.of_error(reply, body, provider.failure(status, body), now=NOW)
        assert isinstance(found, (Throttled, Failed, EtlError)), found
        assert "canary-token" not in f"{found!s}{getattr(found, 'happened', '')}{getattr(found, 'hint', '')}"
        refusals.of_redirect(reply)

    return error_body


def configuration(data: bytes) -> None:
    """A configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(data)
        with suppress(EtlError):
            load(path, {}, container_secrets=Path(folder) / "none")


def settings_of_one(data: bytes) -> None:
    """Each kind of value of the configuration, and variables of the environment."""
    text = _text(data)
    checks: tuple[Callable[[Any], Any], ...] = (
        *(values.duration, values.instant, values.zone, values.rate, values.base_url, values.token, values.listen, values.name),
        *(values.database_url, values.number, values.currency, values.agents, values.erasure_key, addresses.hook),
    )
    for check in checks:
        with suppress(ValueError):
            check(text)
    name, _, value = text.partition("=")
    with suppress(EtlError), tempfile.TemporaryDirectory() as folder:
        load(None, {f"ETL_{name}": value}, container_secrets=Path(folder))


def schedule(data: bytes) -> None:
    """A cron expression: what is accepted has a next time, found at once."""
    with suppress(ValueError):
        text = values.schedule(_text(data))
        assert next_sync("fuzzed", text, "America/New_York", NOW) > NOW


def words(data: bytes) -> None:
    """Values of records, each as text and as JSON; text for a terminal."""
    text = data.decode("utf-8", "replace")
    value: Any = text
    with suppress(ValueError):
        value = json_text.decoded(data)
    parsers = (
        *(
            parse.instant,
            parse.text,
            parse.identifier,
            parse.whole,
            parse.flag,
            parse.decimal_cents,
            parse.address,
            parse.direction,
        ),
        *(readings.epoch_seconds, readings.epoch_millis, readings.rfc_2822, readings.amount, readings.charge, readings.currency),
        *(
            readings.duration_text,
            readings.minutes,
            readings.milliseconds,
        ),
    )
    for given in (value, text, [value, text], (text, None), {"a": value}):
        for parser in parsers:
            with suppress(parse.Unfit):
                parser(given)
    for other in (value, text, None, "inbound"):
        for together, number in ((readings.caller, 3), (readings.callee, 3), (readings.date_and_time, 2)):
            with suppress(parse.Unfit):
                together((other, value, text)[:number])
    shown = printable.printable(text)
    assert "\x1b" not in shown and "\n" not in shown
    SHIELD.names_in_text(text)


SHIELD = Shield(key=b"k" * 32, calls_before=None, hashes=frozenset({b"nobody"}))


def _record_of(provider: Provider) -> Callable[[bytes], None]:
    context = Context(connection="fuzzed", stream="calls", currency="USD", run_id=1)

    def record(data: bytes) -> None:
        half = len(data) // 2
        for found in identify_all(provider, [data, data[:half]], cleaned=(1,)):
            _followed(provider, context, found)

    return record


def _followed(provider: Provider, context: Context, record: Record) -> None:
    """What happens to a record that was identified: its row, its detail, and its erasure."""
    if record.rejection is not None or record.call_id is None:
        as_reject(provider, record)
        return
    derived = derive(provider, context, record, observed_at=NOW)
    if isinstance(record.value, dict):
        is_detail_of(provider, record, record.call_id)
        later = NOW + timedelta(minutes=1)
        derive(provider, context, record, observed_at=NOW, detail=record, detail_observed_at=later)
    for how in (Cut.WORDS, Cut.PERSONS):
        once = cut(provider, record, how, SHIELD)
        assert once.call_id == record.call_id
        assert cut(provider, once, how, SHIELD).text == once.text
    assert derived.row is not None
    SHIELD.names(record.value)


def _pages_of(provider: Provider) -> Callable[[bytes], None]:
    """What a page says of itself: tokens, totals, the next address."""

    def facts(data: bytes) -> None:
        with suppress(Unreadable, Unexpected, EtlError):
            body = read_list(data, provider.listing.records)
            provider.listing.facts(body.fields, {"link": _text(data[:200])})

    return facts


def every() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """Give each target with its name."""
    plain = (body_of_a_list, body_of_a_call, compressed, headers, configuration, settings_of_one, schedule, words)
    yield from ((target.__name__, target) for target in plain)
    for provider in map(providers.get, providers.OURS):
        yield f"record_of_{provider.name}", _record_of(provider)
        yield f"error_of_{provider.name}", _refusing(provider)
        yield f"page_of_{provider.name}", _pages_of(provider)
