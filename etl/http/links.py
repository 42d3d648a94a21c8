"""Knows where addresses lead: the configured one, `Link` headers, origins; follows none and knows no credentials."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from etl.errors import ForeignLink, UsageError

_PORTS = {"http": 80, "https": 443}
_LINK = re.compile(r'<(?P<target>[^>]*)>(?P<params>(?:[^",]|"(?:[^"\\]|\\.)*")*)')
_PARAM = re.compile(r';\s*(?P<name>[^\s=;,"]+)\s*(?:=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;,"]*)))?')
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\\\x7f]")


def next_link(headers: Mapping[str, str]) -> str | None:
    """
    Return the target of the first `Link` with the relation `next`, as it is written, or None (RFC 8288).

    Several links, several relations in one link, quoted and unquoted parameters are understood. `headers` has lower-case names.
    """
    for link in _LINK.finditer(headers.get("link", "")):
        relations: dict[str, str] = {}
        for param in _PARAM.finditer(link["params"]):
            relations.setdefault(param["name"].lower(), param["quoted"] if param["token"] is None else param["token"])
        if "next" in (relations.get("rel") or "").lower().split():
            return link["target"].strip()
    return None


def check_same_origin(url: str, base_url: str) -> None:
    """Raise ForeignLink where `url`, which may be relative to `base_url`, leads to another scheme, host or port."""
    if origin(absolute(url, base_url)) != origin(base_url):
        raise ForeignLink(
            f"a link of the provider leads to another address, {shown_origin(absolute(url, base_url))}, than the one "
            f"configured, {shown_origin(base_url)}.",
            safe="It was not followed, so no credential was sent there; what was loaded before stays.",
            hint="If the provider has moved, set base_url to its new address.",
        )


def check_link_unfollowed(url: str, base_url: str) -> None:
    """
    Raise ForeignLink where `url`, an address of a page that nobody follows, leads to another host or port.

    Behind a proxy that ends TLS many servers write `http://` into their own links, and some have a scheme of their own: neither
    says that the provider has moved. Credentials go to `base_url` alone, whatever a link says.
    """
    target, own = origin(absolute(url, base_url)), origin(base_url)
    if target is None and _OTHER_SCHEME.match(url):
        return
    if target is not None and own is not None and target[1] == own[1] and {target[2], own[2]} <= {*_PORTS.values()}:
        return
    check_same_origin(url, base_url)


def absolute(url: str, base_url: str) -> str:
    """Resolve a link against the address it was found at; what is no address becomes the empty string."""
    try:
        return "" if _UNSAFE.search(url) else urljoin(base_url, url)
    except ValueError:
        return ""


def origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, or None where the text is no http address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or _PORTS[parts.scheme]


def shown_origin(url: str) -> str:
    """Return the origin for a message: no path, no query, no user name; cut to a sensible length."""
    found = origin(url)
    if found is None:
        return "something that is no web address"
    scheme, host, port = found
    host = f"[{host}]" if ":" in host else host
    host = host if len(host) <= 100 else host[:99] + "…"
    return f"{scheme}://{host}" + ("" if port == _PORTS[scheme] else f":{port}")


def is_loopback(url: str) -> bool:
    """Whether the address stays on this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_base_url(base_url: str, *, connection: str, allow_http: bool) -> None:
    """
    Raise UsageError where `base_url` is no address that credentials may be sent to.

    Plain http is accepted for this machine only, unless `allow_http`.
    """
    setting = f"connections.{connection}.base_url"
    found = None if _UNSAFE.search(base_url) else origin(base_url)
    if found is None or not _is_host(found[1]):
        raise UsageError(f"{setting} is no web address.", hint="It begins with https:// and includes the documented prefix.")
    parts = urlsplit(base_url)
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"{setting} holds more than an address: a user name, a query or a fragment.",
            hint=f"Leave only scheme, host and path; credentials belong into connections.{connection}.token.",
        )
    if found[0] == "http" and not allow_http and not is_loopback(base_url):
        raise UsageError(
            f"{setting} is plain http://, which would send the credential unencrypted to {found[1]}.",
            safe="Nothing was sent.",
            hint=f"Use https://, or set connections.{connection}.allow_http = true if the way there is safe.",
        )


def _is_host(host: str) -> bool:
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False
