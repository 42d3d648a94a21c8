"""
The client of one account: waits for the rate limit, sends a request, interprets the answer, and retries.

    _ask        repeats the request until it is answered or the retries are used up
    _attempt    waits for the rate limit and sends the request once
    _understood turns the response into an answer, or raises why it is none
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import httpx

from etl.addresses import next_link
from etl.effects import Clock
from etl.errors import BudgetSpent, ForeignLink, ProviderUnavailable
from etl.http.auth import Credentials, Secret
from etl.http.body import Body, Unexpected, Unreadable, WebPage, departure, no_content, read_error, read_list, read_one
from etl.http.causes import BETWEEN
from etl.http.exchange import Exchange, Reply
from etl.http.limits import SAFE, Limiter, in_words
from etl.http.links import absolute, check_base_url, check_link_unfollowed, origin
from etl.http.refusal import Refusals
from etl.http.retry import LONGEST_WAIT, Cause, Failed, Patience, Throttled
from etl.log import Logger
from etl.model import JSON, Drift
from etl.provider import ClientCredentials, Provider
from etl.reading.api import Answer

log = Logger(__name__)

WEB_PAGE = Cause(word="web_page", happened="sent a web page instead of JSON", hint=BETWEEN)
NOT_JSON = Cause(
    word="not_json",
    happened="sent something that is not JSON, or only a part of it",
    hint="If it does not pass by itself, ask the provider; check also that base_url includes the documented prefix.",
)
NOT_ASKED_FOR = Cause(
    word="not_asked_for",
    happened="sent JSON without what was asked for",
    hint="Check that base_url includes the documented prefix; if it does, the API has changed: report it with etl's version.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """The settings of section `[http]`. `timeout` applies to each network step of a request, not to the request as a whole."""

    timeout: timedelta
    max_attempts: int
    backoff: timedelta
    max_backoff: timedelta
    max_response_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    path: str
    params: Mapping[str, str]
    read: Callable[[bytes, str], Body]  # the body and its content type
    is_list: bool = False
    body: JSON = None  # to be sent by POST
    deletes: bool = False


class Client:
    """
    `etl.reading.api.Api` over HTTP. `credentials` maps the settings that the provider's headers name to their values.

    A context manager; safe to share between threads. Raises UsageError if the address or a credential cannot be used.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        base_url: str,
        credentials: Mapping[str, str | Secret],
        limiter: Limiter,
        http: HttpOptions,
        connection: str,
        clock: Clock,
        random: random.Random,
        transport: httpx.BaseTransport | None = None,
        allow_http: bool = False,
    ) -> None:
        check_base_url(base_url, connection=connection, allow_http=allow_http)
        self._credentials = Credentials(provider, credentials, connection=connection)
        self._provider = provider
        self._base_url = base_url
        self._limiter = limiter
        self._options = http
        self._connection = connection
        self._clock = clock
        self._random = random
        self._refusals = Refusals(provider, self._credentials, base_url=base_url, connection=connection)
        self._lock = threading.Lock()
        self._requests = self._retries = 0
        self._exchange = Exchange(
            base_url=base_url,
            credentials=self._credentials,
            login=provider.login if isinstance(provider.login, ClientCredentials) else None,
            connection=connection,
            clock=clock,
            timeout=http.timeout,
            max_response_bytes=http.max_response_bytes,
            rate_headers=provider.rate_headers,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Client(connection={self._connection!r}, provider={self._provider.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._exchange.close()

    # ── etl.reading.api.Api ───────────────────────────────────────────────────────────────────────────────────────────────

    def get_list(self, path: str, params: Mapping[str, str], records: tuple[str, ...], body: JSON = None) -> Answer:
        """Ask for a page; see `etl.reading.api.Api`."""
        return self._ask(
            _Question(
                path=path,
                params=params,
                read=lambda text, kind: read_list(text, records, content_type=kind),
                is_list=True,
                body=body,
            )
        )

    def get_one(self, path: str, record: str | None, body: JSON = None) -> Answer:
        """Ask for one object; see `etl.reading.api.Api`."""
        return self._ask(
            _Question(path=path, params={}, read=lambda text, kind: read_one(text, record, content_type=kind), body=body)
        )

    def delete(self, path: str) -> None:
        """Delete what is at a path; see `etl.reading.api.Eraser`. A second attempt may find it gone already: that is NotFound."""
        self._ask(_Question(path=path, params={}, read=lambda text, kind: no_content(), is_list=True, deletes=True))

    def check_link(self, url: str) -> None:
        """Raise ForeignLink if a link, which is never followed, leads neither to the configured origin nor the documented."""
        try:
            check_link_unfollowed(url, self._base_url, documented=self._provider.base_url)
        except ForeignLink as foreign:
            happened = self._credentials.without(foreign.happened)
            raise ForeignLink(happened, safe=foreign.safe, hint=foreign.hint) from None

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        return self._requests

    @property
    def retries(self) -> int:
        """How many of the requests sent so far were retries."""
        return self._retries

    # ── Asking, step by step ────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, question: _Question) -> Answer:
        """Repeat the request until it is answered or the retries are used up."""
        patience = Patience(
            max_attempts=self._options.max_attempts,
            backoff=self._options.backoff,
            max_backoff=self._options.max_backoff,
            chance=self._random,
        )
        while True:
            try:
                return self._attempt(question, again=patience.attempts > 0)
            except Throttled as refusal:
                self._wait_as_told(refusal, patience)
            except Failed as failure:
                self._wait_after(failure, patience)

    def _attempt(self, question: _Question, *, again: bool) -> Answer:
        """Wait for the rate limit, then send the request once."""
        slot = self._limiter.acquire(self._connection)
        try:
            with self._lock:
                self._requests += 1
                self._retries += again
            reply = self._exchange.send(question.path, question.params, slot, body=question.body, deletes=question.deletes)
        finally:
            slot.lost()
        return self._understood(reply, question)

    def _understood(self, reply: Reply, question: _Question) -> Answer:
        """Return the answer in a reply, or raise the error that the reply amounts to."""
        if 300 <= reply.status < 400:
            raise self._refusals.of_redirect(reply)
        if not 200 <= reply.status < 300:
            said = read_error(reply.body, content_type=reply.headers.get("content-type", ""))
            raise self._refusal(reply, said) or Failed(NOT_ASKED_FOR)
        try:
            body = self._read(reply, question)
        except WebPage:
            raise Failed(WEB_PAGE) from None
        except Unreadable:
            raise Failed(WEB_PAGE if _is_page(reply) else NOT_JSON) from None
        except Unexpected as other:
            raise (self._refusal(reply, other.value) or Failed(NOT_ASKED_FOR)) from None
        if body.envelope is not None and (refusal := self._refusal(reply, body.envelope)) is not None:
            raise refusal
        departures = body.departures | reply.departures
        link = next_link(reply.headers.get("link", ""))
        if link is not None:
            target = absolute(link, reply.url)
            self.check_link(target)
            if origin(target) not in (origin(self._base_url), origin(self._provider.base_url)):
                departures |= {departure("link", Drift.OUT_OF_RANGE, "scheme")}
        return Answer(
            records=body.records,
            fields=body.fields,
            headers=reply.headers,
            date=reply.date,
            sent_at=reply.sent_at,
            cleaned=body.cleaned,
            departures=departures,
            stated=body.stated,
        )

    def _read(self, reply: Reply, question: _Question) -> Body:
        """Read the body of a success. Raises Unreadable and Unexpected."""
        if reply.status == httpx.codes.NO_CONTENT and question.is_list:
            return no_content()
        return question.read(reply.body, reply.headers.get("content-type", ""))

    def _refusal(self, reply: Reply, body: JSON) -> Exception | None:
        """Return the error that a reply amounts to, or None for a success. A provider may send an error with HTTP 200."""
        failure = self._provider.failure(reply.status, body)
        if failure is None and 200 <= reply.status < 300:
            return None
        return self._refusals.of_error(reply, body, failure, now=self._clock.now())

    def _wait_as_told(self, refusal: Throttled, patience: Patience) -> None:
        """Pause everyone who shares the account for as long as the provider asks. Raises BudgetSpent if that is too long."""
        wait = patience.after_throttle(refusal.wait)
        if wait is None:
            if refusal.wait is not None:
                self._limiter.pause(refusal.wait)  # the next run must not ask too early either
            asked = in_words(refusal.wait) if refusal.wait and refusal.wait > LONGEST_WAIT else "ever longer"
            raise BudgetSpent(
                f"{self._provider.title} says that there were too many requests, and wants us to wait {asked}.",
                safe=SAFE,
                hint="The next sync continues there. If this repeats, something else uses the same account's allowance: stop it, "
                f"or lower connections.{self._connection}.rate_limit.",
            )
        self._limiter.pause(wait)
        self._log("request.throttled", attempt=patience.attempts, cause="http_429", wait=wait)

    def _wait_after(self, failure: Failed, patience: Patience) -> None:
        """Wait before the next attempt. Raises ProviderUnavailable if there is no further attempt."""
        wait = patience.after_failure(failure.wait)
        if wait is None:
            if failure.wait is not None:
                self._limiter.pause(failure.wait)
            times = "once" if patience.failures == 1 else f"{patience.failures} times"
            raise ProviderUnavailable(
                f"{self._provider.title} {failure.cause.happened} (tried {times}).",
                safe=SAFE,
                hint=failure.cause.hint,
            )
        self._log("request.retried", attempt=patience.attempts, cause=failure.cause.word, wait=wait)
        self._clock.sleep(wait.total_seconds())

    def _log(self, event: str, *, attempt: int, cause: str, wait: timedelta) -> None:
        log.warning(event, connection=self._connection, attempt=attempt, cause=cause, wait_seconds=round(wait.total_seconds(), 3))


def _is_page(reply: Reply) -> bool:
    """Whether a body that is not JSON is a web page. Cut-off JSON may be declared HTML too, and is none."""
    return "html" in reply.headers.get("content-type", "").lower() and reply.body.lstrip()[:1] not in (b"", b"{", b"[")
