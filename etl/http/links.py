"""Where addresses lead: the configured one, and those that a provider sends. None is followed here."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from etl import addresses
from etl.errors import ForeignLink, UsageError

_PORTS = {"http": 80, "https": 443}
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\\\x7f]")


def check_same_origin(url: str, base_url: str) -> None:
    """Raise ForeignLink where `url`, which may be relative to `base_url`, leads to another scheme, host or port."""
    if origin(absolute(url, base_url)) != origin(base_url):
        raise ForeignLink(
            f"a link of the provider leads to another address, {shown_origin(absolute(url, base_url))}, than the one "
            f"configured, {shown_origin(base_url)}.",
            safe="It was not followed, so no credential was sent there; what was loaded before stays.",
            hint="If the provider has moved, set base_url to its new address.",
        )


def check_link_unfollowed(url: str, base_url: str, *, documented: str = "") -> None:
    """
    Raise ForeignLink if `url`, a link to a page that is never followed, leads to another host or port.

    Behind a proxy that ends TLS, many servers write `http://` into their own links, and some use a scheme of their own. Behind a
    gateway they write the address that they are `documented` at. Neither means that the provider has moved. Credentials are sent
    to `base_url` only, no matter what a link says.
    """
    target, own = origin(absolute(url, base_url)), origin(base_url)
    if target is None and _OTHER_SCHEME.match(url):
        return
    if target is not None and own is not None and target[1] == own[1] and {target[2], own[2]} <= {*_PORTS.values()}:
        return
    if target is None or target != origin(documented):
        check_same_origin(url, base_url)


def absolute(url: str, base_url: str) -> str:
    """Resolve a link against the address it was found at; text that is no address becomes the empty string."""
    try:
        return "" if _UNSAFE.search(url) else urljoin(base_url, url)
    except ValueError:
        return ""


def origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, or None if the text is no http or https address."""
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


def check_base_url(base_url: str, *, connection: str, allow_http: bool) -> None:
    """
    Raise UsageError if `base_url` is not an address that credentials may be sent to.

    Plain http is accepted for this machine only, unless `allow_http`.
    """
    try:
        addresses.base_url(base_url)
        addresses.check_private(base_url, allow_http=allow_http)
    except ValueError as fault:
        raise UsageError(
            f"connections.{connection}.base_url {fault}.",
            safe="Nothing was sent.",
            hint="It begins with https:// and includes the documented prefix.",
        ) from None
