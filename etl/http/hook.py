"""Addresses that are told something, and of whose answer the status is all that counts: the webhook of alerts, the heartbeat."""

from __future__ import annotations

from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx

from etl import __version__
from etl.alerts.port import HookFailed
from etl.http import tls
from etl.http.causes import cause_of
from etl.http.proxies import proxy_for

PATIENCE = timedelta(seconds=8)
"""How long connecting, or waiting for the answer, may take; rows of `sync.alerts` are held meanwhile, and a tick waits."""


class WebHook:
    """
    Implements `etl.alerts.port.Hook` and `Heartbeat`. The address is a secret: it is in no error and no `repr`.

    Redirects are not followed, since the text is for whoever was configured, and nothing is tried again here. Both methods raise
    HookFailed, and UsageError if the environment's proxy or certificates cannot be used.
    """

    def __init__(self, url: str, *, patience: timedelta = PATIENCE) -> None:
        """Nothing is connected yet."""
        self._url = url
        self._patience = patience

    def __repr__(self) -> str:
        return "WebHook()"

    def tell(self, text: str) -> None:
        """Post `{"text": …}`."""
        self._ask("POST", {"text": text})

    def beat(self) -> None:
        """Ask for the address."""
        self._ask("GET", None)

    def _ask(self, method: str, document: dict[str, str] | None) -> None:
        try:
            proxy = proxy_for(self._url)
            encrypted = urlsplit(self._url).scheme == "https"
            with (
                httpx.Client(
                    headers={"User-Agent": f"call-warehouse/{__version__}"},
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                    verify=tls.trusted() if encrypted else tls.unused(),
                    timeout=self._patience.total_seconds(),
                    follow_redirects=False,
                    proxy=proxy.url if proxy is not None else None,
                    trust_env=False,
                ) as client,
                client.stream(method, self._url, json=document) as response,
            ):
                status = response.status_code
        except (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict) as error:
            raise HookFailed(cause_of(error).word) from None  # the error's text may hold the address
        except (ValueError, ImportError, httpx.InvalidURL):
            raise HookFailed("cannot_be_sent") from None
        if not 200 <= status < 300:
            raise HookFailed(f"http_{status}")
