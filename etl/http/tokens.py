"""A token that expires: fetched by client credentials, sent with every request, and fetched again once it is over or refused."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from json import JSONDecodeError
from threading import Lock

import httpx

from etl.effects import Clock
from etl.http.auth import Credentials
from etl.http.causes import BETWEEN
from etl.http.links import absolute, origin
from etl.http.retry import Cause, Failed
from etl.model import JSON
from etl.provider import ClientCredentials

EARLIER = timedelta(seconds=60)
"""How long before its end a token is no longer used, since clocks differ and requests take time."""

REFUSED = (400, 403)
"""What a token's address answers, beside 401, to credentials that it does not accept."""

NO_TOKEN = Cause(word="no_token", happened="sent no token where tokens are fetched", hint=BETWEEN)


class Bearer(httpx.Auth):
    """
    Adds a token to requests that go to the configured origin, and to no others. Safe to share between threads.

    Where no token is given, the answer that says so stands for that to the request.
    """

    def __init__(self, login: ClientCredentials, *, base_url: str, credentials: Credentials, clock: Clock) -> None:
        self._origin = origin(base_url)
        self._address = absolute(login.address, base_url)
        self._credentials = credentials
        self._clock = clock
        self._lock = Lock()
        self._token = ""
        self._until: datetime | None = None  # None: it does not say

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with the token, after fetching one where that is needed; once again where it is refused."""
        if origin(str(request.url)) != self._origin:
            yield request
            return
        refused = ""
        for _ in range(2):
            with self._lock:  # whoever comes meanwhile waits for the same token
                if not self._token or self._token == refused or (self._until is not None and self._clock.now() >= self._until):
                    answer = yield self._question()
                    if not answer.is_success:
                        if answer.status_code in REFUSED:
                            answer.status_code = httpx.codes.UNAUTHORIZED
                        return
                    self._take(answer)
                token = self._token
            request.headers.update({**self._credentials.headers(), "Authorization": f"Bearer {token}"})
            response = yield request
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
            refused = token

    def _question(self) -> httpx.Request:
        headers = {"Authorization": self._credentials.basic, "Accept": "application/json"}
        return httpx.Request("POST", self._address, data=dict(self._credentials.form), headers=headers)

    def _take(self, answer: httpx.Response) -> None:
        """Keep the token of an answer. Raises Failed where it holds none."""
        self._token, self._until = "", None
        answer.read()
        try:
            said: JSON = answer.json()
        except (JSONDecodeError, UnicodeDecodeError):
            said = None
        token = said.get("access_token") if isinstance(said, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise Failed(NO_TOKEN)
        seconds = said.get("expires_in")
        if isinstance(seconds, (int, float)) and 0 < seconds < 10**8:
            lasts = timedelta(seconds=seconds)
            self._until = self._clock.now() + max(lasts - EARLIER, lasts / 2)
        self._credentials.hide(token)
        self._token = token
