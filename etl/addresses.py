"""
Which addresses and credentials can be used, which addresses are on this machine, and how a `Link` header is read.

`Link` headers follow RFC 8288.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

SHORTEST_SECRET = 8
"""Characters of a path that may be a secret; a shorter one would mask whatever has a slash in it."""

_UNSAFE = re.compile(r"[\s\x00-\x20\\\x7f]")
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")
_LINK = re.compile(r'<(?P<target>[^>]*)>(?P<params>(?:[^",]|"(?:[^"\\]|\\.)*")*)')
_PARAM = re.compile(r';\s*(?P<name>[^\s=;,"]+)\s*(?:=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;,"]*)))?')


def base_url(value: str) -> str:
    """
    Return an address that paths can be appended to: http or https, a host, no credentials, no query, no trailing slash.

    Raises ValueError with what is wrong, for a sentence that begins with the setting's name; the value is not in it.
    """
    parts = _checked(value, example="https://api.example.com/v1", hint="; credentials have their own keys")
    if parts.query:
        raise ValueError("must be an address like https://api.example.com/v1")
    return value.rstrip("/")


def check_private(url: str, *, allow_http: bool) -> None:
    """Raise ValueError, as `base_url` does, where a credential would travel unencrypted to another machine unasked."""
    if urlsplit(url).scheme == "http" and not allow_http and not is_loopback(url):
        raise ValueError("must begin with https://: over http:// anybody on the way reads the token (allow_http permits it)")


def hook(value: str) -> str:
    """
    Return the address of a webhook: https, or http on this machine; a host, no user, no password; a path and a query as they are.

    Raises ValueError as `base_url` does.
    """
    parts = _checked(value, example="https://hooks.example.com/services/1a2b3c")
    if not is_credential(value):
        raise ValueError("holds characters that no address has; is it still the one of the example?")
    if parts.scheme == "http" and not is_loopback(value):
        raise ValueError("must begin with https://: over http:// anybody on the way reads the address, which is a secret")
    return value


def _checked(value: str, *, example: str, hint: str = "") -> SplitResult:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.port != 0 and bool((parts.hostname or "").encode("idna"))
    except ValueError:
        usable = False
    if not usable or parts.fragment or _UNSAFE.search(value):
        raise ValueError(f"must be an address like {example}")
    if parts.username is not None:
        raise ValueError(f"must hold no user and no password{hint}")
    return parts


def beyond_host(url: str) -> str:
    """Return the path and the query of an address; empty if they say nothing that could be secret."""
    parts = urlsplit(url)
    told = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return told if len(told) >= SHORTEST_SECRET else ""


def is_loopback(url: str) -> bool:
    """Return whether an address leads to this machine only."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_credential(value: str) -> bool:
    """Return whether a header can carry the text as a credential: visible ASCII, at least one character."""
    return _CREDENTIAL.fullmatch(value) is not None


def next_link(header: str) -> str | None:
    """
    Return the target of the first link with the relation `next`, as it is written, or None.

    Several links, several relations in one link, quoted and unquoted parameters are understood.
    """
    for link in _LINK.finditer(header):
        relations: dict[str, str] = {}
        for param in _PARAM.finditer(link["params"]):
            relations.setdefault(param["name"].lower(), param["quoted"] if param["token"] is None else param["token"])
        if "next" in (relations.get("rel") or "").lower().split():
            return link["target"].strip()
    return None
