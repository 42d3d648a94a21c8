"""One attempt: sends a request, reads a response of bounded size, and translates httpx's errors. Never retries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import cast

import httpx

from etl import __version__
from etl.effects import Clock
from etl.errors import ResponseTooLarge, UsageError
from etl.http import tls
from etl.http.auth import Credentials
from etl.http.body import departure
from etl.http.causes import CUT, MISUSES, NEVER_ARRIVED, TIMEOUT, cause_of
from etl.http.compression import decoded
from etl.http.limits import Slot
from etl.http.links import origin
from etl.http.proxies import proxy_for
from etl.http.retry import Failed, http_date
from etl.http.tokens import Bearer
from etl.http.travel import shortest
from etl.model import JSON, Drift, DriftNote
from etl.provider import ClientCredentials

POOL = httpx.Limits(max_connections=16, max_keepalive_connections=8)

WHOLE_RESPONSE = 10
"""The time limit for a whole response, in multiples of the timeout. Without it a response that trickles in could take days."""

ERROR_BYTES = 65_536
"""The maximum size of an error's body; a longer one is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    A response as it came. `body` is decompressed; for an error it is empty if it was too long or broke off.

    `departures` lists what did not conform to HTTP but could be read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    date: datetime | None
    sent_at: datetime
    url: str
    departures: frozenset[DriftNote] = frozenset()


class Exchange:
    """The connection to one origin; safe to share between threads. Credentials go nowhere else, cookies are not kept."""

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Credentials,
        login: ClientCredentials | None,
        connection: str,
        clock: Clock,
        timeout: timedelta,
        max_response_bytes: int,
        rate_headers: str,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._connection = connection
        self._clock = clock
        self._timeout = timeout
        self._cap = max_response_bytes
        self._rate_headers = rate_headers
        proxy = proxy_for(base_url)
        try:
            self._http = httpx.Client(
                auth=_OwnOrigin(base_url, credentials)
                if login is None
                else Bearer(login, base_url=base_url, credentials=credentials, clock=clock),
                headers={
                    "User-Agent": f"call-warehouse/{__version__}",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip",
                },
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                verify=tls.shared(clock.now()) if base_url.lower().startswith("https:") else tls.unused(),
                timeout=timeout.total_seconds(),
                limits=POOL,
                transport=transport,
                follow_redirects=False,
                proxy=proxy.url if proxy is not None else None,
                trust_env=False,  # `proxy_for` above has decided about the proxy
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            # The error's text may hold the proxy's password, so it is not chained.
            if proxy is None:
                raise
            raise UsageError(
                f"The proxy that the environment names in {proxy.variable} cannot be used ({type(error).__name__}).",
                safe="Nothing was sent.",
                hint=f"Correct {proxy.variable}, or unset it: http:// and https:// proxies are supported.",
            ) from None

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(self, path: str, params: Mapping[str, str], slot: Slot, *, body: JSON = None, deletes: bool = False) -> Reply:
        """
        Send one GET, or one POST if there is a `body` to send as JSON, or one DELETE, and read its response.

        The slot ends as soon as the head of the response is there.

        Raises Failed for a failure that may be temporary, ResponseTooLarge, and UsageError if the request cannot be sent at all.
        """
        try:
            return self._sent("DELETE" if deletes else "GET" if body is None else "POST", path, params, slot, body)
        except MISUSES as error:
            slot.unsent()
            # Neither chained nor quoted: the text may hold a header.
            raise UsageError(
                f"the request cannot be sent ({type(error).__name__}).",
                hint=f"Check connections.{self._connection}.base_url.",
            ) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict) as error:
            if isinstance(error, NEVER_ARRIVED):
                slot.unsent()
            raise Failed(cause_of(error)) from None
        finally:
            slot.lost()

    def _sent(self, method: str, path: str, params: Mapping[str, str], slot: Slot, content: JSON) -> Reply:
        url = f"{self._base_url}/{path.lstrip('/')}"
        with self._http.stream(method, url, params=params or None, json=content) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            date = http_date(headers.get("date", ""))
            slot.answered(headers, date, names=self._rate_headers, way=shortest(response))
            odd: set[str] = set()
            body = self._body(response, headers, odd) if response.is_success else self._error_body(response, headers, odd)
            return Reply(
                status=response.status_code,
                headers=headers,
                body=body,
                date=date,
                sent_at=slot.sent_at,
                url=str(response.url),
                departures=frozenset(departure("content_encoding", Drift.OUT_OF_RANGE, word) for word in odd),
            )

    def _body(self, response: httpx.Response, headers: Mapping[str, str], odd: set[str]) -> bytes:
        """Read the body, up to the maximum size. Raises ResponseTooLarge and Failed."""
        if response.status_code == httpx.codes.NO_CONTENT:
            return b""
        announced = _length(headers)
        if announced is not None and announced > self._cap:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        for part in decoded(self._raw(response, announced), headers.get("content-encoding", ""), note=odd.add):
            parts.append(part)
            size += len(part)
            if size > self._cap:
                parts.clear()  # else the error's traceback keeps them in memory while smaller pages are read
                raise self._too_large()
        return b"".join(parts)

    def _error_body(self, response: httpx.Response, headers: Mapping[str, str], odd: set[str]) -> bytes:
        body = bytearray()
        try:
            for part in decoded(self._raw(response, _length(headers)), headers.get("content-encoding", ""), note=odd.add):
                body += part
                if len(body) > ERROR_BYTES:
                    return b""
        except (httpx.HTTPError, Failed):
            return b""  # the status says enough
        return bytes(body)

    def _raw(self, response: httpx.Response, announced: int | None) -> Iterator[bytes]:
        """Yield the bytes as received. Raises Failed if this takes too long, or if their number is not the one announced."""
        deadline = self._clock.now() + self._timeout * WHOLE_RESPONSE
        received = 0
        for chunk in cast("httpx.SyncByteStream", response.stream):
            received += len(chunk)
            yield chunk
            if self._clock.now() > deadline:
                raise Failed(TIMEOUT)
        if announced is not None and received != announced:
            raise Failed(CUT)

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(
            f"a response is larger than {self._cap / 1_048_576:,.3g} MB.",
            safe="It was not read further, and nothing of it was stored; what was loaded before stays.",
            hint=f"Lower connections.{self._connection}.per_page, or raise http.max_response_mb.",
        )


class _OwnOrigin(httpx.Auth):
    """Adds the credentials to requests that go to the configured origin, and to no others."""

    def __init__(self, base_url: str, credentials: Credentials) -> None:
        self._origin = origin(base_url)
        self._credentials = credentials

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]  # narrower is enough
        if origin(str(request.url)) == self._origin:
            request.headers.update(self._credentials.headers())
        yield request


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
