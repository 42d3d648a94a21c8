"""What passes between the server and a provider's API: request, reply, and the situation that the API answers from."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from etl.sandbox.call import JSON, encode
from etl.sandbox.history import History
from etl.sandbox.switches import Switches


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; `path` is what follows the provider's prefix, header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    origin: str  # "http://127.0.0.1:8400"
    prefix: str  # "/tuple"


@dataclass(slots=True, kw_only=True)
class Reply:
    """One response."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distortion:
    """The faults that change what a list says, rather than whether it arrives."""

    outage_empty: bool = False
    page_ignored: bool = False
    unsorted: bool = False
    clamp: int | None = None
    endless_next: bool = False
    foreign_next: str | None = None
    total_capped: int | None = None
    total_off: int = 0
    total_of_page: bool = False
    total_missing: bool = False
    offset_only: bool = False
    repeated: int | None = None

    def start(self, query: Mapping[str, str], number: int, size: int) -> int:
        """Return the place in the list at which the answer to a request for page `number` begins."""
        if self.offset_only:
            return max(whole(query.get("offset"), 0) or 0, 0)
        if self.page_ignored:
            return 0
        return (number - 1 - (number == self.repeated and number > 1)) * size

    def counted(self, total: int, *, on_page: int) -> int | None:
        """Return the total that is told of `total` calls; None: none is."""
        if self.total_missing:
            return None
        told = on_page if self.total_of_page else max(total + self.total_off, 0)
        return min(told, self.total_capped) if self.total_capped is not None else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What an API answers from: the history, whose account it is, the switches, the distortions, and this request's chances."""

    history: History
    account: str
    switches: Switches
    distortion: Distortion
    chance: Random


class Refusal(StrEnum):
    """Why a request is refused before its path matters."""

    KEY_MISSING = "key_missing"
    KEY_INVALID = "key_invalid"
    FORBIDDEN = "forbidden"
    TOO_MANY = "too_many"
    NO_ROUTE = "no_route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """
    One provider's API. `prefix` is its first path segment, `base` the path of its documented base URL below that.

    `credential` reads the key from the headers; `refuse` answers in the provider's own error shape (`wait`: seconds until a
    request would be allowed); `rate_headers` gets limit, remaining and the Unix second of the reset.
    """

    name: str
    prefix: str
    base: str
    credential: Callable[[Mapping[str, str]], str | None]
    refuse: Callable[[Request, Refusal, float, Switches], Reply]
    answer: Callable[[Request, Situation], Reply]
    rate_headers: Callable[[int, int, int], Mapping[str, str]]


def json_reply(status: int, value: JSON, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer a JSON value."""
    return Reply(
        status=status, body=encode(value), headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    )


def listing(key: str, records: list[bytes], *, before: JSON, after: JSON) -> Reply:
    """Answer `{**before, key: [records], **after}` without decoding the records."""
    parts = [encode(before)[1:-1], b'"' + key.encode() + b'":[' + b",".join(records) + b"]", encode(after)[1:-1]]
    body = b"{" + b",".join(part for part in parts if part) + b"}"
    return Reply(status=200, body=body, headers={"Content-Type": "application/json; charset=utf-8"})


def bearer(headers: Mapping[str, str], alternative: str | None = None) -> str | None:
    """Read `Authorization: Bearer …`, else the header `alternative`."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    return headers.get(alternative) if alternative else None


def whole(text: str | None, default: int) -> int | None:
    """Read a whole number from a query; None if it is not one."""
    if text is None:
        return default
    return int(text) if text.isascii() and text.lstrip("-").isdigit() and len(text) < 19 and "-" not in text[1:] else None


def basic(headers: Mapping[str, str], *, users: Collection[str]) -> str | None:
    """Return the password of an HTTP Basic login of one of these users; of an unknown user both parts, None without a login."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(value.strip(), validate=True).decode().partition(":")
    except (Error, UnicodeDecodeError):
        return "unreadable"
    return password if colon and user in users else f"{user}:{password}"
