"""Translates httpx's failures into our own words."""

from __future__ import annotations

import socket
import ssl

import httpx

from etl.http.retry import Cause

BETWEEN = "Check base_url, and whether a proxy or a login page of your network stands between."
_REACH = "Check base_url, the network and the proxy settings; if it recovers, the next sync continues."

UNREACHABLE = Cause(word="connection", happened="could not be reached", hint=_REACH)
UNKNOWN_HOST = Cause(word="unknown_host", happened="could not be reached: its host name does not resolve", hint=_REACH)
REFUSED = Cause(word="refused", happened="could not be reached: the connection was refused", hint=_REACH)
UNTRUSTED = Cause(
    word="certificate",
    happened="could not be reached: its certificate is not trusted",
    hint="If your network inspects TLS, name its authority in SSL_CERT_FILE; see docs/http.md.",
)
TIMEOUT = Cause(word="timeout", happened="did not answer in time")
CUT = Cause(word="cut", happened="broke off its answer")
PROXY = Cause(
    word="proxy",
    happened="could not be reached through the proxy of the environment",
    hint="Check HTTPS_PROXY and NO_PROXY.",
)
GARBLED = Cause(word="garbled", happened="answered with a body that cannot be decompressed", hint=BETWEEN)
CLIENT = Cause(word="client", happened="could not be asked: the HTTP client failed", hint=_REACH)

CAUSES: tuple[tuple[type[Exception], Cause], ...] = (
    (httpx.TimeoutException, TIMEOUT),
    (httpx.ConnectError, UNREACHABLE),
    (httpx.ProxyError, PROXY),
    (httpx.NetworkError, CUT),
    (httpx.RemoteProtocolError, CUT),
    (httpx.DecodingError, GARBLED),
    (httpx.RequestError, CLIENT),
    (httpx.HTTPError, CLIENT),
    (httpx.StreamError, CLIENT),
    (httpx.CookieConflict, CLIENT),
)
"""What may pass: the first that fits counts."""

MISUSES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
"""What will not pass: the request itself cannot be sent."""

NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, *MISUSES)
_REASONS = (
    (ssl.SSLCertVerificationError, UNTRUSTED),
    (socket.gaierror, UNKNOWN_HOST),
    (ConnectionRefusedError, REFUSED),
)


def cause_of(error: Exception) -> Cause:
    """Say in our words why an attempt failed; the error's own text is not used, since it may hold an address."""
    cause = next((cause for kind, cause in CAUSES if isinstance(error, kind)), CLIENT)
    if cause is UNREACHABLE:
        link: BaseException | None = error
        while link is not None:
            for kind, reason in _REASONS:
                if isinstance(link, kind):
                    return reason
            link = link.__cause__ or link.__context__
    return cause
