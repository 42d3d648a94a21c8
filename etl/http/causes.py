"""Maps httpx's exceptions to causes in our own words."""

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
    happened="could not be reached: its certificate comes from an authority that is not trusted here",
    hint="If your network inspects TLS, add its authority to the system, or name it in SSL_CERT_FILE; see docs/http.md.",
)
EXPIRED = Cause(
    word="certificate_expired",
    happened="could not be reached: its certificate has expired, or is not valid yet",
    hint="Check the date of this computer. If it is right, the provider has to renew its certificate; the next sync continues.",
)
OTHER_NAME = Cause(
    word="certificate_name",
    happened="could not be reached: its certificate is for another host name",
    hint="Check the host name in base_url. If it is right, something else in your network answers for the provider.",
)
NO_TLS = Cause(
    word="tls",
    happened="could not be reached: it offers no TLS of version 1.2 or newer",
    hint="Check that base_url has the port on which it speaks https, and what stands between; older versions are never used.",
)
TIMEOUT = Cause(
    word="timeout",
    happened="did not answer in time",
    hint="The next sync continues there. If this stays, raise http.timeout or lower per_page, and ask the provider.",
)
CUT = Cause(word="cut", happened="broke off its answer")
PROXY = Cause(
    word="proxy",
    happened="could not be reached through the proxy of the environment",
    hint="Check the proxy's address, user and password in HTTPS_PROXY (or ALL_PROXY); hosts in NO_PROXY are asked directly.",
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
"""Failures that may be temporary; the first match decides."""

MISUSES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
"""Failures that a retry cannot cure, because the request itself cannot be sent."""

NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, *MISUSES)
_REASONS = (
    (socket.gaierror, UNKNOWN_HOST),
    (ConnectionRefusedError, REFUSED),
)

_CERTIFICATES = {
    **dict.fromkeys((9, 10, -67818, 0x800B0101), EXPIRED),
    **dict.fromkeys((62, 64, -67602, 0x800B010F), OTHER_NAME),
}
"""What is wrong with a certificate, by the codes of OpenSSL, macOS and Windows; any other code means an untrusted authority."""


def cause_of(error: Exception) -> Cause:
    """Return why an attempt failed, in our own words. The error's own text is not used, because it may contain an address."""
    cause = next((cause for kind, cause in CAUSES if isinstance(error, kind)), CLIENT)
    if cause is UNREACHABLE:
        link: BaseException | None = error
        while link is not None:
            if isinstance(link, ssl.SSLCertVerificationError):
                return _CERTIFICATES.get(getattr(link, "verify_code", 0), UNTRUSTED)
            if type(link) is ssl.SSLError:  # its kinds are about connections that broke off
                return NO_TLS
            for kind, reason in _REASONS:
                if isinstance(link, kind):
                    return reason
            link = link.__cause__ or link.__context__
    return cause
