"""Decides what to do after an unsuccessful answer: wait, retry, or end with an error."""

from __future__ import annotations

from datetime import datetime, timedelta

from etl.errors import AuthenticationFailed, ForeignLink, NotFound, ProviderRefused
from etl.http.allowance import LONGEST_PAUSE
from etl.http.auth import Credentials
from etl.http.exchange import Reply
from etl.http.limits import SAFE
from etl.http.links import absolute, origin, shown_origin
from etl.http.quota import ServerClock, quota
from etl.http.retry import Cause, Failed, Throttled, asked_wait
from etl.model import JSON
from etl.provider import Failure, Provider

_PASSING = frozenset({408, 425})  # the server's own timeouts; the other 4xx would be refused again

_HINTS = {
    400: "The configuration may ask for something that the provider does not accept: check per_page, agents and start_date.",
    402: "Put the account in order at the provider (a bill, a plan); the next sync continues there.",
    404: "Check base_url (it includes the documented prefix) and the names configured.",
    407: "This comes from a proxy: put its user name and password into HTTPS_PROXY.",
    422: "The configuration may ask for something that the provider does not accept: check per_page, agents and start_date.",
    501: "The provider does not offer this on this account, or not yet: ask it.",
}
_HINT = "Check base_url; if it is right, ask the provider."


class Refusals:
    """Turns the unsuccessful answers of one connection into exceptions."""

    def __init__(self, provider: Provider, credentials: Credentials, *, base_url: str, connection: str) -> None:
        self._provider = provider
        self._credentials = credentials
        self._base_url = base_url
        self._connection = connection

    def of_redirect(self, reply: Reply) -> Exception:
        """Return the error for a redirect, which is never followed."""
        target = absolute(reply.headers.get("location", ""), reply.url)
        if origin(target) == origin(self._base_url) or not reply.headers.get("location"):
            return ProviderRefused(
                f"{self._provider.title} redirects to another path (HTTP {reply.status}).",
                status=reply.status,
                safe=SAFE,
                hint=f"Set connections.{self._connection}.base_url to the address and prefix that the provider documents now.",
            )
        return ForeignLink(
            f"{self._provider.title} redirects to another address, {self._credentials.without(shown_origin(target))}.",
            safe="It was not followed, so no credential was sent there; what was loaded before stays.",
            hint=f"If the provider has moved, set connections.{self._connection}.base_url to its new address; "
            "else a proxy or a login page of your network stands between.",
        )

    def of_error(self, reply: Reply, body: JSON, failure: Failure | None, *, now: datetime) -> Exception:
        """
        Return the exception for an error: Throttled, Failed, or the error to end with.

        `failure` is what the provider's file read from the decoded `body`; its status takes precedence over the response's.
        """
        status = (failure.status if failure else None) or reply.status
        said = self._said(failure)
        if status == 429:
            return Throttled(_asked_wait(reply, body, now) or _until_reset(reply, now))
        if status in _PASSING or (status >= 500 and status != 501):
            happened = f"failed with HTTP {reply.status}{_quoted(said)}"
            return Failed(Cause(word=f"http_{status}", happened=happened), wait=_asked_wait(reply, body, now))
        if status in (401, 403):
            return self._not_allowed(reply, status, said)
        happened = f"{self._provider.title} refused a request (HTTP {reply.status}{_quoted(said)})."
        hint = _HINTS.get(status, _HINT)
        if status == 404:
            return NotFound(happened, naming=failure.naming if failure else None, said=said, safe=SAFE, hint=hint)
        return ProviderRefused(happened, status=status, said=said, safe=SAFE, hint=hint)

    def _not_allowed(self, reply: Reply, status: int, said: str) -> AuthenticationFailed:
        what = "does not accept the credential" if status == 401 else "does not allow this credential to read"
        todo = "Check or replace" if status == 401 else "It needs more rights, or is one of another account: check"
        return AuthenticationFailed(
            f"{self._provider.title} {what} (HTTP {reply.status}{_quoted(said)}).",
            status=status,
            safe=SAFE,
            hint=f"{todo} {self._credentials.settings}. {self._credentials.where}",
        )

    def _said(self, failure: Failure | None) -> str:
        """Return the provider's own words, cleaned for display."""
        if failure is None:
            return ""
        code = f"[{failure.code}]" if failure.code and failure.code != failure.message else ""
        return self._credentials.clean(" ".join(part for part in (failure.message or "", code) if part))


def _quoted(said: str) -> str:
    return f": “{said}”" if said else ""


def _asked_wait(reply: Reply, body: JSON, now: datetime) -> timedelta | None:
    """Return the wait asked for: by the server's clock, or by ours if by its own it would last for days."""
    waits = [asked_wait(reply.headers, body, now=clock) for clock in (reply.date, now) if clock is not None]
    return next((wait for wait in waits if wait is not None and wait <= LONGEST_PAUSE), waits[0])


def _until_reset(reply: Reply, now: datetime) -> timedelta | None:
    """Return the wait until the server's own allowance is renewed, for a 429 that says nothing clearer."""
    clock = ServerClock()
    if reply.date is not None:
        clock.heard(reply.date, sent=reply.sent_at, received=now)
    told = quota(reply.headers, clock, now=now)
    return told.resets_at - now if told is not None and told.remaining == 0 else None
