"""What every kind of answer comes to: an answer, another attempt, or one clear sentence."""

import gzip
import json
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from etl import __version__
from etl.errors import (
    AuthenticationFailed,
    BudgetSpent,
    EtlError,
    ForeignLink,
    NotFound,
    ProviderRefused,
    ProviderUnavailable,
    ResponseTooLarge,
    UsageError,
)
from etl.http.causes import CAUSES, CLIENT, MISUSES, cause_of
from etl.http.client import Client
from etl.http.limits import Limiter
from etl.model import Drift, DriftNote
from etl.provider import Limit, Provider
from etl.reading.api import Answer, Api
from etl.runs.allowances import Found
from tests.events import events_told

Connect = Callable[..., Client]
PAGE = {"data": [{"id": 1}, {"id": 2}], "meta": {"total": 2}}
SAFE = "What was loaded before stays, and the next sync continues there."


def in_turn(*answers: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Answer with each in turn, the last for ever."""
    left = list(answers)

    def handler(_request: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


def response(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(content))


def page(client: Client) -> Answer:
    return client.get_list("/calls", {"page": "1"}, ("data",))


def test_a_page_is_asked_for_and_understood(connect: Connect, clock: Any, token: str) -> None:
    """The request carries credentials, agent and parameters; the answer has everything that the loop needs."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response(200, PAGE, Date="Sun, 15 Mar 2026 12:00:01 GMT", X_Total_Count="2")

    client: Api = connect(handler)
    answer = client.get_list("/calls", {"since": "2026-03-01T00:00:00+00:00", "q": "a b&c"}, ("data",))

    assert (
        Answer(
            records=(b'{"id": 1}', b'{"id": 2}'),
            fields={"meta": {"total": 2}},
            headers={"date": "Sun, 15 Mar 2026 12:00:01 GMT", "x-total-count": "2"},
            date=datetime(2026, 3, 15, 12, 0, 1, tzinfo=UTC),
            sent_at=clock.now(),
        ),
        "https://api.example.com/v1/calls?since=2026-03-01T00%3A00%3A00%2B00%3A00&q=a%20b%26c",
        (f"Bearer {token}", "org-1", f"call-warehouse/{__version__}", "gzip", "application/json"),
        (1, 0),
    ) == (
        answer,
        str(asked[0].url).replace("a+b", "a%20b"),
        tuple(
            asked[0].headers.get(name)
            for name in ("authorization", "x-organization-id", "user-agent", "accept-encoding", "accept")
        ),
        (client.requests, client.retries),
    )


def test_one_object_is_asked_for(connect: Connect) -> None:
    """Under its key, or as the body."""
    client = connect(in_turn(response(200, {"status": "success", "data": {"id": 1}}), response(200, {"id": 2})))

    assert [
        client.get_one("/calls/1", "data").records,
        client.get_one("/calls/2", None).records,
    ] == [(b'{"id": 1}',), (b'{"id": 2}',)]


def test_cookies_are_not_kept(connect: Connect) -> None:
    """Each request stands alone."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response(200, PAGE, Set_Cookie="session=1; Path=/")

    client = connect(handler)
    page(client), page(client)

    assert ["cookie" in request.headers for request in asked] == [False, False]


# ── What is asked again ─────────────────────────────────────────────────────────────────────────────────────────────

HTML = b"<html><body>Please sign in</body></html>"


@pytest.mark.parametrize(
    ("trouble", "cause", "happened"),
    [
        (response(500), "http_500", "failed with HTTP 500"),
        (response(503, HTML), "http_503", "failed with HTTP 503"),
        (response(502, {"error": "Upstream", "code": "INTERNAL"}), "http_502", "failed with HTTP 502: “Upstream [INTERNAL]”"),
        (response(408), "http_408", "failed with HTTP 408"),
        (response(200), "not_json", "sent something that is not JSON, or only a part of it"),
        (response(200, b'{"data": [{"id"'), "not_json", "sent something that is not JSON, or only a part of it"),
        (response(200, HTML), "web_page", "sent a web page instead of JSON"),
        (response(200, b"Sign in", Content_Type="text/html"), "web_page", "sent a web page instead of JSON"),
        (response(200, {"data": {}}), "not_asked_for", "sent JSON without what was asked for"),
        (response(200, {"message": "ok"}), "not_asked_for", "sent JSON without what was asked for"),
        (response(200, [1]), "not_asked_for", "sent JSON without what was asked for"),
        (response(200, b"[]", Content_Length="3"), "cut", "broke off its answer"),
        (response(200, gzip.compress(b"[]")[:-4], Content_Encoding="gzip"), "cut", "broke off its answer"),
        (response(200, b"[]", Content_Encoding="gzip"), "garbled", "answered with a body that cannot be decompressed"),
        (response(200, b"[]", Content_Encoding="br"), "garbled", "answered with a body that cannot be decompressed"),
        (httpx.ConnectError("x"), "connection", "could not be reached"),
        (httpx.ReadTimeout("x"), "timeout", "did not answer in time"),
        (httpx.ReadError("x"), "cut", "broke off its answer"),
        (httpx.ProxyError("x"), "proxy", "could not be reached through the proxy of the environment"),
    ],
)
def test_what_may_pass_is_asked_again(
    connect: Connect, clock: Any, trouble: httpx.Response | Exception, cause: str, happened: str
) -> None:
    """It passes: the answer comes. It does not: one sentence after all attempts, with a hint."""
    with events_told() as logs:
        client = connect(in_turn(trouble, response(200, PAGE)))
        records = page(client).records
    with pytest.raises(ProviderUnavailable) as raised:
        page(connect(in_turn(trouble)))

    assert (
        2,
        1,
        1,
        [("request.retried", "voice", 1, cause)],
        True,
        f"Acme {happened} (tried 4 times).",
        SAFE,
        True,
    ) == (
        len(records),
        client.retries,
        client.requests - 1,
        [(entry["event"], entry["connection"], entry["attempt"], entry["cause"]) for entry in logs],
        0.25 <= logs[0]["wait_seconds"] <= 0.5,
        raised.value.happened,
        raised.value.safe,
        bool(raised.value.hint),
    )


@pytest.mark.parametrize(
    ("answer", "is_page"),
    [
        (response(200, HTML), True),
        (response(200, b"Sign in", Content_Type="text/html"), True),
        (response(200, b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>x</title>"), True),
        (response(200, b'{"data": [{"id"', Content_Type="text/html"), False),
        (response(200, b"", Content_Type="text/html"), False),
        (response(200, b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"), False),
        (response(200, b"OK"), False),
        (response(200, {"message": "ok"}), False),
    ],
)
def test_a_proxy_or_login_page_is_named_only_where_there_is_one(connect: Connect, answer: httpx.Response, is_page: bool) -> None:
    """Half an answer, XML, or JSON of another shape is not what a login page looks like."""
    with pytest.raises(ProviderUnavailable) as raised:
        page(connect(in_turn(answer), max_attempts=1))

    assert ("login page" in raised.value.hint, bool(raised.value.hint)) == (is_page, True)


def test_no_content_is_an_empty_list_and_no_call(connect: Connect) -> None:
    """HTTP 204 in the place of a list says that there is none; where one call was asked for, it says nothing."""
    client = connect(in_turn(response(204)), max_attempts=1)
    answer = client.get_list("/calls", {}, ("data",))
    with pytest.raises(ProviderUnavailable):
        client.get_one("/calls/1", "data")

    assert (answer.records, answer.fields, answer.departures, answer.stated) == (
        (),
        {},
        frozenset({DriftNote("(answer).status", Drift.OUT_OF_RANGE, "204")}),
        False,
    )


@pytest.mark.parametrize("coding", ["UTF-8", "none", "binary", "x-whatever", "utf-8, identity", "identity"])
def test_an_unknown_coding_is_none(connect: Connect, coding: str) -> None:
    """The body is taken as it is; a word that is no coding is noted."""
    answer = connect(in_turn(response(200, PAGE, Content_Encoding=coding))).get_list("/calls", {}, ("data",))

    noted = frozenset({DriftNote("(answer).content_encoding", Drift.OUT_OF_RANGE, "unknown")})
    assert (len(answer.records), answer.departures) == (2, frozenset() if coding == "identity" else noted)


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
@pytest.mark.parametrize("trailer", [b"\n", b"\r\n", b"\x00" * 8, b"\x1f", b"garbage \x1f\x8b"])
def test_whatever_trails_a_compressed_member_is_ignored(connect: Connect, trailer: bytes, chunk: int) -> None:
    """Also where it comes in bytes of its own; a second member still counts."""
    body = json.dumps(PAGE).encode()
    packed = gzip.compress(body[:9]) + gzip.compress(body[9:]) + trailer
    parts = [packed[start : start + chunk] for start in range(0, len(packed), chunk)]
    client = connect(lambda _request: httpx.Response(200, stream=Parts(parts), headers={"Content-Encoding": "gzip"}))
    answer = client.get_list("/calls", {}, ("data",))

    noted = frozenset() if trailer == b"\x1f" else {DriftNote("(answer).content_encoding", Drift.OUT_OF_RANGE, "trailing")}
    assert (answer.records, answer.departures) == ((b'{"id": 1}', b'{"id": 2}'), noted)


class Parts(httpx.SyncByteStream):
    """A body in parts of the test's choosing."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts


def test_the_declared_charset_is_honoured_in_lists_details_and_errors(connect: Connect) -> None:
    """Wherever letters come from."""
    latin = {"Content_Type": "application/json; charset=ISO-8859-1"}
    client = connect(
        in_turn(
            response(200, '{"data": [{"id": "é"}]}'.encode("latin-1"), **latin),
            response(200, '{"data": {"id": "é"}}'.encode("latin-1"), **latin),
            response(400, '{"message": "Größe"}'.encode("latin-1"), **latin),
        )
    )

    found = [page(client).records, client.get_one("/calls/1", "data").records]
    with pytest.raises(ProviderRefused) as raised:
        page(client)
    assert (found, raised.value.said) == ([('{"id": "é"}'.encode(),)] * 2, "Größe")


def test_a_web_page_hints_at_address_and_proxy(connect: Connect) -> None:
    """The two things that are usually wrong then."""
    with pytest.raises(ProviderUnavailable) as raised:
        page(connect(in_turn(response(200, HTML)), max_attempts=1))

    assert str(raised.value) == (
        "Acme sent a web page instead of JSON (tried once). "
        "What was loaded before stays, and the next sync continues there. "
        "Check base_url, and whether a proxy or a login page of your network stands between."
    )


def test_a_server_that_asks_for_time_gets_it(connect: Connect, clock: Any) -> None:
    """`Retry-After` counts with 503 as well."""
    page(connect(in_turn(response(503, None, Retry_After="7"), response(200, PAGE))))

    assert clock.slept == [7.0]


def test_a_response_that_trickles_is_given_up(connect: Connect, clock: Any) -> None:
    """Each byte comes in time, the whole does not."""

    class Trickle(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(1000):
                clock.set(clock.now() + timedelta(seconds=4))
                yield b" "

    with pytest.raises(ProviderUnavailable, match="did not answer in time"):
        page(connect(lambda _request: httpx.Response(200, stream=Trickle()), max_attempts=1))


def test_every_failure_of_httpx_has_a_meaning() -> None:
    """Each exception that httpx exports passes or does not, and none but its general ones needs the general cause."""
    exported = {value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)}
    unmapped = {error for error in exported if not issubclass(error, (*MISUSES, *(kind for kind, _ in CAUSES)))}
    general = {error.__name__ for error in exported if not issubclass(error, MISUSES) and cause_of(_instance(error)) is CLIENT}

    assert (
        set(),
        True,
        {
            "CookieConflict",
            "HTTPError",
            "HTTPStatusError",
            "ProtocolError",
            "RequestError",
            "RequestNotRead",
            "ResponseNotRead",
            "StreamClosed",
            "StreamConsumed",
            "StreamError",
            "TooManyRedirects",
            "TransportError",
        },
    ) == (unmapped, len(exported) > 25, general)


@pytest.mark.parametrize(
    ("reason", "word"),
    [(socket.gaierror(), "unknown_host"), (ssl.SSLCertVerificationError(), "certificate"), (ConnectionRefusedError(), "refused")],
)
def test_a_connection_that_fails_says_why(reason: OSError, word: str) -> None:
    """The reason lies some errors below httpx's own."""
    between, error = OSError(), httpx.ConnectError("x")
    error.__cause__, between.__context__ = between, reason

    assert word == cause_of(error).word


def _instance(kind: type[Exception]) -> Exception:
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", [httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL])
def test_a_request_that_cannot_be_sent_is_a_matter_of_configuration(connect: Connect, kind: type[Exception], token: str) -> None:
    """It is not tried again, and httpx's own text, which may quote a header, is not shown."""
    client = connect(in_turn(kind(f"Illegal header value {token}")))
    with pytest.raises(UsageError) as raised:
        page(client)

    assert (client.requests, token in "".join(traceback.format_exception(raised.value))) == (1, False)


# ── What is waited for ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"Retry_After": "3"}, None, 3),
        ({"Retry_After": "1.5"}, {"error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED", "retry_after": 1.5}, 1.5),
        ({}, {"error": "Rate limit exceeded", "retry_after": 2.5}, 2.5),
        ({"Retry_After": "Sun, 15 Mar 2026 12:05:30 GMT", "Date": "Sun, 15 Mar 2026 12:05:00 GMT"}, HTML, 30),
        ({"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "20"}, None, 20),
        ({"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "20", "Date": "Sun, 15 Mar 2026 12:00:00 GMT"}, None, 20),
        ({}, None, 0.5),
    ],
)
def test_too_many_requests_is_waiting(connect: Connect, clock: Any, headers: dict[str, str], body: Any, wait: float) -> None:
    """As long as the provider says, however it says it; no attempt is spent."""
    with events_told() as logs:
        client = connect(in_turn(*[response(429, body, **headers)] * 6, response(200, PAGE)), max_attempts=1)
        page(client)

    assert (client.retries, len(logs), all(entry["event"] == "request.throttled" for entry in logs)) == (6, 6, True)
    assert all(wait * 0.99 <= entry["wait_seconds"] <= max(wait * 1.1, 60) for entry in logs)
    assert wait * 6 * 0.99 <= sum(clock.slept) <= max(wait * 6 * 1.1, 64) + 1


@pytest.mark.parametrize("headers", [{"Retry_After": "7200"}, {}, {"Retry_After": "Sun, 15 Mar 2026 14:00:00 GMT"}])
def test_waiting_for_ever_ends_the_run_partial(connect: Connect, clock: Any, headers: dict[str, str]) -> None:
    """A wait of hours, or one that adds up: the run ends, the next one continues."""
    with pytest.raises(BudgetSpent) as raised:
        page(connect(in_turn(response(429, None, **headers))))

    assert (
        raised.value.happened.rsplit(" ", 2)[0],
        sum(clock.slept) <= 1.2 * 15 * 60,
    ) == ("Acme says that there were too many requests, and wants us to wait", True)


@pytest.mark.parametrize("status", [429, 503])
def test_who_was_told_to_wait_an_hour_is_not_asked_by_the_next_run(connect: Connect, clock: Any, status: int) -> None:
    """The run ends, and what it leaves to remember keeps the next one from asking before the hour is over."""
    told = Limiter(limits=(), daily=None, clock=clock)
    first = connect(in_turn(response(status, None, Retry_After="3600")), limiter=told)
    with pytest.raises(EtlError):
        page(first)
    clock.set(clock.now() + timedelta(minutes=30))
    knowing = Limiter(limits=(), daily=None, clock=clock, found=Found(told.standing()))
    second = connect(in_turn(response(200, PAGE)), limiter=knowing)
    with pytest.raises(BudgetSpent, match="30 minutes"):
        page(second)
    clock.set(clock.now() + timedelta(minutes=30))

    assert (len(page(second).records), second.requests) == (2, 1)


def test_an_error_sent_with_200_can_be_a_throttle(connect: Connect) -> None:
    """What the provider file says of a body counts more than its status."""
    client = connect(in_turn(response(200, {"status": "error", "message": "Slow down"}), response(200, PAGE)), max_attempts=1)

    assert (len(page(client).records), client.retries) == (2, 1)


def test_requests_wait_for_their_place(connect: Connect, clock: Any) -> None:
    """The limiter is asked before each attempt."""
    limiter = Limiter(limits=[Limit(requests=2, per=timedelta(seconds=10))], daily=3, clock=clock)
    client = connect(in_turn(response(200, PAGE)), limiter=limiter)
    page(client), page(client), page(client)
    with pytest.raises(BudgetSpent):
        page(client)

    assert (clock.slept, client.requests, limiter.standing().requests) == ([10.01], 3, 3)


def test_a_request_that_never_arrived_does_not_spend_the_budget(connect: Connect, clock: Any) -> None:
    """An evening without network leaves the day's requests."""
    limiter = Limiter(limits=(), daily=10, clock=clock)
    client = connect(in_turn(httpx.ConnectError("x")), limiter=limiter)
    with pytest.raises(ProviderUnavailable):
        page(client)

    assert (client.requests, limiter.standing().requests) == (4, 0)


# ── What is refused ─────────────────────────────────────────────────────────────────────────────────────────────────


ERROR = {"status": "error"}
CREDENTIAL = "does not accept the credential"
REFUSED = "refused a request"


@pytest.mark.parametrize(
    ("answer", "kind", "what", "why"),
    [
        (
            response(401, {"message": "Unauthorized", "code": "api_key_invalid"}),
            AuthenticationFailed,
            CREDENTIAL,
            "401: “Unauthorized [api_key_invalid]”",
        ),
        (response(401), AuthenticationFailed, CREDENTIAL, "401"),
        (response(200, ERROR | {"message": "Unauthorized"}), AuthenticationFailed, CREDENTIAL, "200: “Unauthorized”"),
        (response(403, HTML), AuthenticationFailed, "does not allow this credential to read", "403"),
        (response(404, {"message": "Call not found"}), NotFound, REFUSED, "404: “Call not found”"),
        (response(404, HTML), NotFound, REFUSED, "404"),
        (response(200, ERROR | {"message": "Call not found"}), NotFound, REFUSED, "200: “Call not found”"),
        (
            response(400, {"message": ["per_page: too large", "page: x"], "code": "validation_error"}),
            ProviderRefused,
            REFUSED,
            "400: “per_page: too large; page: x [validation_error]”",
        ),
        (response(200, ERROR | {"message": "Invalid page"}), ProviderRefused, REFUSED, "200: “Invalid page”"),
        (response(422), ProviderRefused, REFUSED, "422"),
        (response(501, {"error": "not_implemented"}), ProviderRefused, REFUSED, "501: “not_implemented”"),
        (response(400, b"{" * 100_000), ProviderRefused, REFUSED, "400"),
        (response(400, b"{}", Content_Length="9"), ProviderRefused, REFUSED, "400"),
        (response(200, ERROR | {"message": "No", "data": []}), ProviderRefused, REFUSED, "200: “No”"),
    ],
)
def test_a_refusal_is_one_sentence_at_once(
    connect: Connect, answer: httpx.Response, kind: type[EtlError], what: str, why: str
) -> None:
    """With the provider's own words, never tried again, nothing lost."""
    client = connect(in_turn(answer))
    with pytest.raises(EtlError) as raised:
        page(client)

    assert (type(raised.value), raised.value.happened, raised.value.safe, bool(raised.value.hint), client.requests) == (
        kind,
        f"Acme {what} (HTTP {why}).",
        SAFE,
        True,
        1,
    )


def test_a_refused_credential_names_its_setting_and_its_source(connect: Connect) -> None:
    """So that the user knows what to replace, and where to get another."""
    with pytest.raises(AuthenticationFailed) as raised:
        page(connect(in_turn(response(401))))

    assert raised.value.hint == (
        "Check or replace connections.voice.token and connections.voice.organization_id. You find it at https://example.com/keys."
    )


def test_a_404_says_whose_absence_it_states(connect: Connect) -> None:
    """Only the provider's own error shape names a call; a proxy's page names nothing."""
    found = []
    for answer in (response(404, {"message": "Call not found"}), response(404, HTML)):
        with pytest.raises(NotFound) as raised:
            page(connect(in_turn(answer)))
        found.append((raised.value.naming, raised.value.status, raised.value.said))

    assert found == [("call", 404, "Call not found"), (None, 404, "")]


# ── Where links lead ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "location", ["https://evil.example/v1/calls?key=1", "//evil.example/", "http://api.example.com/v1/calls"]
)
def test_a_redirect_elsewhere_is_not_followed(connect: Connect, location: str) -> None:
    """One request, and an error that names where it would have led."""
    client = connect(in_turn(response(302, None, Location=location)))
    with pytest.raises(ForeignLink, match=r"redirects to another address, http") as raised:
        page(client)

    assert (client.requests, "key=1" in str(raised.value)) == (1, False)


@pytest.mark.parametrize("headers", [{"Location": "/v2/calls"}, {"Location": "https://api.example.com/v2"}, {}])
def test_a_redirect_to_another_path_hints_at_the_address(connect: Connect, headers: dict[str, str]) -> None:
    """The prefix has moved."""
    with pytest.raises(ProviderRefused) as raised:
        page(connect(in_turn(response(308, None, **headers))))

    assert (raised.value.status, "connections.voice.base_url" in raised.value.hint) == (308, True)


def test_a_next_link_elsewhere_fails_the_connection(connect: Connect) -> None:
    """Whether it stands in a header, where the client looks itself, or in a body, where the loop asks."""
    client = connect(in_turn(response(200, PAGE, Link='<https://evil.example/calls?page=2>; rel="next"')))
    with pytest.raises(ForeignLink):
        page(client)
    with pytest.raises(ForeignLink):
        client.check_link("https://evil.example/calls?page=2")
    client.check_link("/v1/calls?page=2")
    page(connect(in_turn(response(200, PAGE, Link='</v1/calls?page=2>; rel="next", <https://evil.example>; rel="help"'))))


@pytest.mark.parametrize(
    "link", ["http://api.example.com/v1/calls?page=2", "HTTP://API.example.com./x", "app://calls?page=2", "urn:page:2"]
)
def test_a_next_link_of_another_scheme_stops_nothing(connect: Connect, link: str) -> None:
    """Nobody follows it: a server behind a proxy that ends TLS writes http, others have a scheme of their own. It is noted."""
    client = connect(in_turn(response(200, PAGE, Link=f'<{link}>; rel="next"')))
    answer = client.get_list("/calls", {}, ("data",))
    client.check_link(link)

    noted = frozenset({DriftNote("(answer).link", Drift.OUT_OF_RANGE, "scheme")})
    assert (len(answer.records), client.requests, answer.departures) == (2, 1, noted)


@pytest.mark.parametrize("link", ["http://evil.example/v1/calls?page=2", "http://api.example.com:8080/v1", "//evil.example/"])
def test_a_next_link_to_another_host_or_port_fails_whatever_its_scheme(connect: Connect, link: str) -> None:
    """That is another place."""
    with pytest.raises(ForeignLink):
        page(connect(in_turn(response(200, PAGE, Link=f'<{link}>; rel="next"'))))


# ── Size ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer",
    [
        response(200, b"[" + b" " * 2000),
        response(200, b"[]", Content_Length="2000"),
        response(200, gzip.compress(b"[" + b" " * 2000), Content_Encoding="gzip"),
    ],
)
def test_a_response_over_the_cap_is_refused(connect: Connect, answer: httpx.Response) -> None:
    """Announced, sent or unpacked; it is not asked for again."""
    client = connect(in_turn(answer), max_response_bytes=1024)
    with pytest.raises(ResponseTooLarge) as raised:
        page(client)

    assert (1, "http.max_response_mb" in raised.value.hint) == (client.requests, True)


def test_a_compressed_response_is_unpacked(connect: Connect) -> None:
    """Also one of several members, and one that is larger than the parts it is unpacked in."""
    long = json.dumps({"data": [{"text": "x" * 3_000_000}]}).encode()
    packed = gzip.compress(long[:10]) + gzip.compress(long[10:])
    client = connect(in_turn(response(200, packed, Content_Encoding="GZIP")), max_response_bytes=4_000_000)

    assert json.loads(long)["data"] == [json.loads(record) for record in page(client).records]


# ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_text_holds_a_credential(connect: Connect, clock: Any, token: str, provider: Callable[..., Provider]) -> None:
    """Whatever goes wrong, and however the provider echoes the token: errors, tracebacks, logs and representations are clean."""
    echo = {"message": f"bad key {token}", "code": token, "error": token, "status": "error"}
    troubles: list[httpx.Response | Exception] = [
        *(response(status, echo, Location=f"https://{token}.example/{token}") for status in (400, 401, 403, 404, 422, 500, 501)),
        *(response(429, echo, Retry_After=after) for after in ("1", "7200")),
        response(302, None, Location=f"https://user:{token}@evil.example/{token}"),
        response(200, echo),
        response(200, f"<html>{token}".encode()),
        response(200, f"[{token}".encode()),
        response(200, {"data": []}, Link=f'<https://{token}.example/?t={token}>; rel="next"'),
        response(302, None, Location=f"https://{token}.example/"),
        *(kind(token) for kind in (httpx.ConnectError, httpx.ReadError, httpx.ProxyError)),
        *(kind(token) for kind in MISUSES),
    ]  # fmt: skip
    texts = []
    limiter = Limiter(limits=(), daily=None, clock=clock)
    with events_told() as logs:
        for trouble in troubles:
            client = connect(in_turn(trouble), max_attempts=2, limiter=limiter)
            with pytest.raises(EtlError) as raised:
                page(client)
            error = raised.value
            texts += [str(error), repr(error), str(vars(error)), "".join(traceback.format_exception(error))]
            texts += [repr(client), str(client), repr(limiter.standing()), repr(limiter)]
    texts += [str(entry) for entry in logs]

    assert [text for text in texts if any(part in text for part in (token, token.lower(), token[-10:]))] == []
    assert len(troubles) * 8 < len(texts)


def test_a_body_is_sent_by_post_and_again_where_the_answer_fails(connect: Connect) -> None:
    """As JSON, with the credentials, for a list and for one object."""
    asked: list[tuple[str, str, Any]] = []
    answers = [response(503), response(200, PAGE), response(200, {"id": 1})]

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, json.loads(request.content)))
        assert request.headers["content-type"] == "application/json" and "authorization" in request.headers
        return answers[len(asked) - 1]

    client: Api = connect(handler)
    assert client.get_list("/list", {}, ("data",), {"limit": 5}).records == (b'{"id": 1}', b'{"id": 2}')
    assert client.get_one("/get", None, {"ids": ["é"]}).records == (b'{"id": 1}',)
    assert asked == [
        ("POST", "/v1/list", {"limit": 5}),
        ("POST", "/v1/list", {"limit": 5}),
        ("POST", "/v1/get", {"ids": ["é"]}),
    ]
