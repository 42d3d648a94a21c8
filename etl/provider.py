"""The form that describes a provider: facts as values, oddities as small functions, no loops and no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from etl.model import JSON, AgentRow, Status

CALLS = "calls"
"""The stream of a provider that lists all calls of an account together."""


Keys = str | tuple[str, ...]
"""
Where a value stands in a record: a key, dotted where it leads inside (`user.email`), or several that are read together.

Of several, a parser is given the values in a tuple, in this order, with None for what is not there.
"""


def all_of(keys: Keys) -> tuple[str, ...]:
    """Return the keys, also where there is only one."""
    return (keys,) if isinstance(keys, str) else keys


class Order(StrEnum):
    """How a provider lists its calls by their cursor, and so which walk reads them."""

    ASCENDING = "ascending"  # filtered by the cursor on the server: walk one
    NEWEST_FIRST = "newest_first"  # a plain list: walk two


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One credential header: `template` contains `{value}`, and `setting` names the configuration key that supplies it."""

    name: str
    setting: str
    template: str = "{value}"
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    A text that connections of one provider need and no others: a second credential, or the account that paths name.

    A header may name it, and so may `Basic`; what is no secret may stand in paths as `{name}`.
    """

    name: str
    required: bool = True
    secret: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """
    HTTP Basic: of the settings `user` the first that is given, and the setting `password`, which is always required.

    Of several users the last one is required.
    """

    user: tuple[str, ...]
    password: str = "token"  # noqa: S105 - the setting's name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """
    OAuth 2.0 client credentials: a token is fetched with two settings (as in `Basic`), and sent with every request as a bearer.

    `address` is where, by POST: a path of `base_url`'s host, or an https address. `form` is what is posted; its values may name
    settings that are no secret (`{account_id}`). A token is fetched again shortly before it ends, and once where it is refused.
    """

    user: tuple[str, ...]
    address: str
    password: str = "token"  # noqa: S105 - the setting's name
    form: Mapping[str, str] = field(default_factory=lambda: {"grant_type": "client_credentials"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `requests` in any period of length `per`, counted at the provider."""

    requests: int
    per: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    A request for one page. `since` (inclusive) and `until` (exclusive) are set for `Order.ASCENDING`, and where there is a
    `Window`, by which they are then rounded; each may still be None, which leaves that side open.

    `after` is what the page before said leads on to this one (`PageFacts.after`), in a style `by_token`; None for the first.
    """

    number: int  # 1-based
    size: int
    since: datetime | None = None
    until: datetime | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """
    One way to ask for a page; `params` are the query parameters. Whether it works is verified at run time.

    With `body`, pages are asked for by POST, with that as JSON. With `by_token`, a page is asked for by what the one before said
    (`PageFacts.after`), and the list ends where a page says nothing. Where no page says it, `last` names the key of a page's last
    record whose value leads on, and the list ends with an empty page.
    """

    name: str
    params: Callable[[Ask], Mapping[str, str]] = lambda ask: {}
    body: Callable[[Ask], JSON] | None = None
    by_token: bool = False
    last: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What a page says about itself; None for what it does not say."""

    total: int | None = None  # calls that match the query, over all pages
    number: int | None = None  # the page number it says it is
    offset: int | None = None  # the offset it says it starts at
    size: int | None = None  # the page size it says it used
    more: bool | None = None  # whether another page follows
    next_link: str | None = None  # the next page's address; it is never followed, but must not lead elsewhere
    after: str | None = None  # a token, or an address whose query holds one, that leads to the next page


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    What the filter by the cursor can do of a list that shows the newest calls first, inside a window too.

    `Ask.since` and `Ask.until` are whole multiples of `grain` (a day: midnights in UTC). `until_included` says whether the calls
    of the upper bound's own grain are shown; it is then the last one wanted. None: that is not known, and windows are read wide
    enough for both. `longest` is the longest stretch between the bounds; calls are then read from `Provider.retention` ago on,
    since windows have to begin somewhere. `most` is the number of calls that one query leads to, over all its pages.
    """

    grain: timedelta = timedelta(seconds=1)
    until_included: bool | None = False
    longest: timedelta | None = None
    most: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where no stretch would be left between bounds that are rounded."""
        if self.longest is not None and self.longest < 4 * self.grain:
            raise ValueError("the longest window must be at least four times the grain of its bounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    How the calls of one stream are listed.

    `path` may contain `{stream}`. `records` names the keys that may hold the list, best first; empty: the body is the list.
    `facts` reads what a page says about itself from the body's other fields and the headers (names in lower case).
    """

    order: Order
    path: str
    records: tuple[str, ...]
    styles: tuple[Style, ...]
    page_sizes: tuple[int, ...]  # largest first; the first that is not refused is used
    facts: Callable[[Mapping[str, JSON], Mapping[str, str]], PageFacts]
    window: Window | None = None  # of `Order.NEWEST_FIRST`, if calls can be filtered by the cursor


class When(StrEnum):
    """When the detail of a call just listed is worth a request. One that a complete list misses is always asked for."""

    ALWAYS = "always"  # the detail knows more than the list, or it is not known that it does not
    LATE = "late"  # of calls that have not ended, and of answered ones until their late parts are there
    OPEN = "open"  # only of calls that have not ended: the list shows all there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A further document of a call, behind an address of its own: its transcription, or the list of its recordings.

    It is asked for with the detail, whenever that is, and stands in it under `key`, which the answer for the call itself does not
    have; a 404 that names something (`Failure.naming`) means that there is none, yet, and is null there. `path`, `record` and
    `body` are as in `Detail`; with `is_list` the value under `record` is a list, of which the first page is kept.
    """

    key: str
    path: str
    record: str | None
    is_list: bool = False
    body: Callable[[str], JSON] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """
    How one call is requested. `path` contains `{call}` and may contain `{stream}`.

    `record` is the key of the call's object, or None if it is the body. `id_forms` returns the forms in which a call's id may be
    requested, best first. The answer's own id must be one of them too, since a wrong form may be answered with another call.
    With `body`, the call is asked for by POST, with what that makes of its id as JSON. Each of the `parts` is one request more.
    """

    path: str
    record: str | None
    id_forms: Callable[[str], tuple[str, ...]]
    when: When = When.ALWAYS
    body: Callable[[str], JSON] | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agents:
    """How the agents of a connection are listed, if each agent has its own list of calls and so its own stream."""

    path: str
    records: tuple[str, ...]
    params: Callable[[Ask], Mapping[str, str]]
    page_size: int
    facts: Callable[[Mapping[str, JSON], Mapping[str, str]], PageFacts]
    agent: Callable[[JSON], AgentRow | None]  # None: not an agent (no id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One column, and the key or keys it is read from in the list record, the detail or both, by `parse`.

    If several fields name one column, the first with a usable value counts. `parse` is not called where all is null, and raises
    `etl.records.parse.Unfit` for a value it cannot use.
    """

    column: str
    key: Keys
    parse: Callable[[JSON], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """
    The records inside a call's record: a list under `key`, each with an id under `id_key` (else its position, from 1).

    Values without a column remain in the call's `raw` or `detail`; an event is also stored whole in `call_events.data`.
    """

    key: str
    id_key: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    Counts that a provider serves at an address of their own.

    `query` is the path and query to request; `read` returns the counts in the decoded body by status word (or by day,
    `2026-03-01`), or None if the body has an unexpected shape.
    """

    query: str
    read: Callable[[JSON], Mapping[str, int] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """
    What a provider counts besides the total of its list (`PageFacts.total`), for audits; each part is optional.

    `by_status` returns the parameters that limit the list to one of `words`. `breakdown` counts all calls by status in one
    answer, `daily` the calls of each day from `{first}` to `{last}`, in a time zone that the audit infers.
    """

    words: tuple[str, ...] = ()
    by_status: Callable[[str], Mapping[str, str]] | None = None
    breakdown: Tally | None = None
    daily: Tally | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an error body says: the provider's `code` and `message`, and what a 404 says is absent (`naming`)."""

    code: str | None = None
    message: str | None = None
    naming: str | None = None  # "call", "agent", "part"
    status: int | None = None  # what it should have been, for an error sent with HTTP 200 or a wrong status


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """
    Everything the program knows about one provider.

    `call_id` and `cursor` are read like fields, by `read_id` and `read_cursor`, from the list record and the detail alike; the
    cursor of a call must not change, and may only be null in records that are no calls yet.
    `failure` reads an error body: it is given the status and the decoded body (None: not JSON), and returns None if the body is
    not an error (status 200). `volatile` names keys whose values change without the call changing; only whether they have a value
    counts. `never_stored` names credentials in records, which are cut out of what arrives. Both may be paths (`user.available`),
    which mean every element where they lead through a list.
    If there are `agents` but no field for `agent_id`, the stream is the agent.
    `participants`, `messages` and `events` are read from list record and detail merged. `late_parts` names keys of the detail
    that arrive or grow only after an answered call has ended; the detail is fetched again until they are there.
    `words` is given what stands under `status`, and returns the words that tell a call's status, the most telling first: the
    first that `statuses` (or our own names) knows counts, and one before it that is not known is noted as drift. What stands
    under the first key is the provider's own word (`provider_status`).
    `deletion` is the path, with `{call}`, at which DELETE deletes one call: for `etl forget --at-provider` alone.
    `organization` names the key with the owner's id. `ignored` names keys that are known but kept in `raw` only, so that they
    are not reported as drift.
    """

    name: str
    title: str
    base_url: str
    headers: tuple[Header, ...]
    listing: Listing
    call_id: Keys
    cursor: Keys
    fields: tuple[Field, ...]
    statuses: Mapping[str, Status]
    failure: Callable[[int, JSON], Failure | None]
    lookback: timedelta
    read_id: Callable[[JSON], str | None] | None = None  # None: `etl.records.parse.identifier`
    read_cursor: Callable[[JSON], datetime | None] | None = None  # None: `etl.records.parse.instant`, ISO 8601
    status: Keys | None = "status"  # where the provider's word stands; None: every listed call is completed
    words: Callable[[JSON], tuple[str, ...]] | None = None  # what tells the status, where that is more than its one word
    detail: Detail | None = None
    deletion: str | None = None
    agents: Agents | None = None
    counts: Counts | None = None
    limit: Limit | tuple[Limit, ...] | None = None  # of several, all hold at once
    retention: timedelta | None = None  # how far back calls are served, where that is not for ever
    rate_headers: str = "X-RateLimit"  # how the names of its headers about the limit begin: `-Limit`, `-Remaining`, `-Reset`
    any_day: bool = False  # whether a day's requests may be counted in any 24 hours, so that `daily_requests` must hold there too
    participants: Children | None = None
    messages: Children | None = None
    events: Children | None = None
    late_parts: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()  # keys stored under their own names in `calls.attributes`
    attributes_object: str | None = None  # the key of an object whose keys are stored there too
    volatile: frozenset[str] = frozenset()
    never_stored: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    organization: str | None = None
    agent_name: Keys | None = None  # where a call's record tells the name of its agent, if it does
    agents_are_people: bool = False  # whether the agents of its calls are persons, whose ids and names are then personal
    settings: frozenset[str] = frozenset()  # the settings of a connection that only some providers know
    own: tuple[Setting, ...] = ()  # settings that only this provider knows
    login: Basic | ClientCredentials | None = None  # beside `headers`
    links: Mapping[str, str] = field(default_factory=dict)  # where users find things: "token" → where to create one

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a call's detail; none where there is no detail."""
        return self.detail.parts if self.detail is not None else ()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits that all hold at once."""
        return (self.limit,) if isinstance(self.limit, Limit) else self.limit or ()

    @property
    def sent_settings(self) -> tuple[str, ...]:
        """The settings whose values are sent with every request."""
        login = () if self.login is None else (*self.login.user, self.login.password)
        return tuple(dict.fromkeys((*login, *(header.setting for header in self.headers))))

    @property
    def required_settings(self) -> tuple[str, ...]:
        """The settings without which nothing can be asked."""
        login = () if self.login is None else (self.login.user[-1], self.login.password)
        own = (setting.name for setting in self.own if setting.required)
        return tuple(dict.fromkeys((*own, *login, *(header.setting for header in self.headers if header.required))))

    def home_of(self, stream: str) -> str:
        """Return the stream of a held call: `stream`, its row's value, or the only one if there are no agents."""
        return stream if self.agents is not None else CALLS
