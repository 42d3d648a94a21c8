"""Knows the form that a provider fills in: facts as values, oddities as small functions; no loop, no HTTP, no SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from etl.model import JSON, AgentRow, Status

CALLS = "calls"
"""The stream of a provider that lists all calls of an account together."""


class Order(StrEnum):
    """How a provider lists its calls by their cursor, and so which walk reads them."""

    ASCENDING = "ascending"  # filtered by the cursor on the server: walk one
    NEWEST_FIRST = "newest_first"  # a plain list: walk two


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One credential header: `template` holds `{value}`, `setting` names the key of the configuration it comes from."""

    name: str
    setting: str
    template: str = "{value}"
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `requests` in any stretch of time as long as `per`, counted at the provider."""

    requests: int
    per: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One page that is wanted. `since` (inclusive) and `until` (exclusive) are set for `Order.ASCENDING` only."""

    number: int  # 1-based
    size: int
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One way to ask for a page; `params` are the query parameters. Whether it works is verified at run time."""

    name: str
    params: Callable[[Ask], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What a page says about itself; None where it says nothing."""

    total: int | None = None  # calls that match the query, over all pages
    number: int | None = None  # the page number it says it is
    offset: int | None = None  # the offset it says it starts at
    size: int | None = None  # the page size it says it used
    more: bool | None = None  # whether another page follows
    next_link: str | None = None  # an address of the next page: its origin is checked, it is not followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    How the calls of one stream are listed.

    `path` may hold `{stream}`. `records` names the keys under which the list may stand, best first; empty: the body is the
    list. `facts` reads what a page says of itself from the body's other fields and the headers (names in lower case).
    """

    order: Order
    path: str
    records: tuple[str, ...]
    styles: tuple[Style, ...]
    page_sizes: tuple[int, ...]  # largest first; the first that is not refused is used
    facts: Callable[[Mapping[str, JSON], Mapping[str, str]], PageFacts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """
    How one call is asked for. `path` holds `{call}` and may hold `{stream}`.

    `record` is the key under which the call's object stands, or None where it is the body. `id_forms` gives the forms under
    which a call's id may be asked for, best first; the answer's own id must be one of the forms of the id asked for, since a
    wrong form may be answered with another call.
    """

    path: str
    record: str | None
    id_forms: Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """How the streams of a connection are discovered, where each agent has its own list of calls."""

    path: str
    records: tuple[str, ...]
    params: Callable[[Ask], Mapping[str, str]]
    page_size: int
    facts: Callable[[Mapping[str, JSON], Mapping[str, str]], PageFacts]
    agent: Callable[[JSON], AgentRow | None]  # None: not an agent (no id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One column and the key (dotted: a path) it comes from, in the list record, the detail or both; `parse` types it.

    Several fields may lead to one column: the first whose key holds a usable value counts. `parse` is not called for null; it
    raises `etl.records.parse.Unfit` for what it cannot type.
    """

    column: str
    key: str
    parse: Callable[[JSON], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """
    The records inside a record: under `key`, each with an id under `id_key` (else its position, from 1).

    What is not a column stays in the call's `raw` or `detail`; an event is also kept whole in `call_events.data`.
    """

    key: str
    id_key: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    Something that a provider counts at an address of its own.

    `query` is asked for; `read` finds the counts in the decoded body by status word (or by day, `2026-03-01`), None where the
    body is of another shape than expected.
    """

    query: str
    read: Callable[[JSON], Mapping[str, int] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """
    What a provider counts beyond the total of its list (`PageFacts.total`), for the audit; each part is optional.

    `by_status` gives the parameters that limit the list to one of `words`. `breakdown` counts all calls by status in one
    answer, `daily` those of each day from `{first}` to `{last}`, in a time zone that the audit finds out.
    """

    words: tuple[str, ...] = ()
    by_status: Callable[[str], Mapping[str, str]] | None = None
    breakdown: Tally | None = None
    daily: Tally | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an error body says: the provider's `code` and `message`, and what its own 404 `naming` says is absent."""

    code: str | None = None
    message: str | None = None
    naming: str | None = None  # "call", "agent"
    status: int | None = None  # the status that an error sent with HTTP 200, or with a wrong status, amounts to


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """
    Everything that the program knows about one provider.

    `failure` reads an error body of any status: it gets the status and the decoded body (None: not JSON) and answers None
    where the body is no error (status 200). `volatile` names keys whose values change without the call changing (only whether
    they hold a value counts). Where there are `agents` and no field for `agent_id`, the stream is the agent.
    `participants`, `messages` and `events` are read from the list record and the detail merged. `late_parts` names keys of the
    detail that a call that was answered still lacks at its end, or that still grow: it is asked for again until they are there.
    `organization` names the key of a record that holds the owner's id. `ignored` names keys that are known and kept in `raw`
    only, so that they are no drift.
    """

    name: str
    title: str
    base_url: str
    headers: tuple[Header, ...]
    listing: Listing
    call_id: str
    cursor: str
    fields: tuple[Field, ...]
    statuses: Mapping[str, Status]
    failure: Callable[[int, JSON], Failure | None]
    lookback: timedelta
    status: str | None = "status"  # the key of the provider's word; None: every call listed is completed
    detail: Detail | None = None
    agents: Agents | None = None
    counts: Counts | None = None
    limit: Limit | None = None
    participants: Children | None = None
    messages: Children | None = None
    events: Children | None = None
    late_parts: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()  # keys that are kept under their own names in `calls.attributes`
    attributes_object: str | None = None  # the key of an object whose own keys are kept there
    volatile: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    organization: str | None = None
    settings: frozenset[str] = frozenset()  # the settings of a connection that only some providers know
    links: Mapping[str, str] = field(default_factory=dict)  # where a user finds what: "token" → where it is made

    def home_of(self, stream: str) -> str:
        """Return the stream that a held call belongs to, whatever stands in its row where there is but one."""
        return stream if self.agents is not None else CALLS
