"""Requests pages, details and agents of one account, and finds out which way of asking works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType
from urllib.parse import quote

from etl.errors import ConnectionFailed, NotFound, PagingBroken, ProviderRefused
from etl.model import JSON, AgentRow, DriftNote, Record
from etl.provider import Ask, PageFacts, Provider, Style, Tally
from etl.reading.api import Answer, Api
from etl.reading.clocks import Apart, believed, newest_two
from etl.records.identify import identify, identify_all, is_detail_of
from etl.records.parse import Unfit, instant
from etl.records.paths import cut_out

RELOOK = timedelta(days=7)
"""How long findings about paging and order are trusted before they are made again."""

SURELY_ONE_PAGE = 2
"""A list of at most this many calls cannot be a page that was cut short."""

TOKENS = 10_000
"""The maximum number of tokens kept of a list; a walk steps back by less."""

AGENT_PAGES = 1000
"""More pages of agents than any account has; beyond them the list is taken to be endless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    One page of calls: its records, identified and in the order given, and what it says about itself.

    `stated` is false for an empty page that the answer did not say is one (`etl.reading.api.Answer`).
    """

    records: tuple[Record, ...]
    facts: PageFacts
    date: datetime | None
    sent_at: datetime
    stated: bool = True

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids on the page in its order; records without an id are left out."""
        return tuple(record.call_id for record in self.records if record.call_id is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What was found out about a connection's paging and order (`sync.connections.capabilities`)."""

    style: str | None = None
    size: int | None = None
    unsorted: bool = False
    day_offset: int | None = None  # how many minutes the days of its daily counts begin before UTC's
    longest: timedelta = timedelta()  # the longest window that was seen answered whole
    most: int = 0  # the most calls in an answer that was seen to be whole
    cut: bool = False  # whether longer windows are answered in part
    unfiltered: bool = False  # whether the filter by the cursor is ignored
    checked_at: datetime | None = None

    @classmethod
    def remembered(cls, stored: JSON, *, now: datetime) -> Capabilities:
        """Read stored findings; return empty ones if they are older than `RELOOK`, from the future, or unreadable."""
        try:
            checked_at = instant(stored["checked_at"])
            found = cls(
                style=stored["style"],
                size=stored["size"],
                unsorted=stored["unsorted"],
                day_offset=stored.get("day_offset"),
                longest=timedelta(seconds=stored.get("longest", 0)),
                most=stored.get("most", 0),
                cut=stored.get("cut", False),
                unfiltered=stored.get("unfiltered", False),
                checked_at=checked_at,
            )
        except (KeyError, TypeError, AttributeError, Unfit):
            return cls()
        return found if checked_at is not None and now - RELOOK < checked_at <= now else cls()

    def stored(self) -> JSON:
        """Return the form that `remembered` reads."""
        found = {
            "style": self.style,
            "size": self.size,
            "unsorted": self.unsorted,
            "checked_at": self.checked_at.isoformat() if self.checked_at else None,
        }
        optional = {
            "day_offset": self.day_offset,
            "longest": int(self.longest.total_seconds()) or None,
            "most": self.most or None,
            "cut": self.cut or None,
            "unfiltered": self.unfiltered or None,
        }
        return found | {name: value for name, value in optional.items() if value is not None}


def path_of(template: str, own: Mapping[str, str], **parts: str) -> str:
    """Return a path of the form with these parts, and an account's `own` settings, in their places, quoted."""
    return template.format(**{name: quote(part, safe="") for name, part in {**own, **parts}.items()})


class Source:
    """One account at one provider. `own` are its settings that stand in paths, by their names."""

    def __init__(self, provider: Provider, api: Api, own: Mapping[str, str] = MappingProxyType({})) -> None:
        self.provider = provider
        self.api = api
        self._own = own
        self._form = 0  # the form of id that worked last, which is likely to work for the next call too
        self._departures: Counter[DriftNote] = Counter()
        self._noting = Lock()  # several threads request details
        self.ahead = (
            timedelta()
        )  # how far the provider's clock was ahead of ours when it last told the time, unless its calls belie it
        self.apart: tuple[str, Apart] | None = None  # in which stream its clock and ours were first seen to differ, and how

    def departures(self) -> Mapping[DriftNote, int]:
        """Return how answers since the last call departed from the documentation, each departure with its count."""
        with self._noting:
            found, self._departures = self._departures, Counter()
        return found

    def _noted(self, answer: Answer) -> Answer:
        if answer.departures:
            with self._noting:
                self._departures.update(answer.departures)
        return answer

    def path(self, template: str, **parts: str) -> str:
        """Return a path of the form with these parts and the account's settings in their places, quoted."""
        return path_of(template, self._own, **parts)

    def listed(self, *, stream: str, style: Style, ask: Ask, also: Mapping[str, str] = MappingProxyType({})) -> Answer:
        """Return the answer to one request for a stream's list; `also` are further parameters."""
        listing = self.provider.listing
        body = style.body(ask) if style.body is not None else None
        return self.api.get_list(self.path(listing.path, stream=stream), {**style.params(ask), **also}, listing.records, body)

    def page(self, *, stream: str, style: Style, ask: Ask) -> Page:
        """Request one page of a stream's calls."""
        answer = self._noted(self.listed(stream=stream, style=style, ask=ask))
        facts = self.provider.listing.facts(answer.fields, answer.headers)
        if facts.next_link is not None:
            self.api.check_link(facts.next_link)
        records = identify_all(self.provider, self._stripped(answer.records), cleaned=answer.cleaned)
        if style.by_token:
            facts = _led_on(facts, style, records)
        self._compare_clocks(stream, answer, newest_two(record.cursor for record in records if record.cursor is not None))
        return Page(
            records=records,
            facts=facts,
            date=answer.date,
            sent_at=answer.sent_at,
            stated=answer.stated,
        )

    def _stripped(self, texts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return records without what must never be stored."""
        paths = self.provider.never_stored
        return tuple([cut_out(paths, text) for text in texts]) if paths else texts

    def _compare_clocks(self, stream: str, answer: Answer, newest: tuple[datetime, ...]) -> None:
        """Take note of the provider's clock as far as it can be trusted, and of how it differs from ours."""
        apart = Apart.between(answer.date, answer.sent_at, newest)
        if apart is not None and self.apart is None:
            self.apart = (stream, apart)
        if answer.date is not None:
            told = believed(answer.date, answer.sent_at, newest)
            self.ahead = answer.date - answer.sent_at if told is not None else timedelta()

    def detail(self, *, stream: str, call_id: str) -> tuple[Record, datetime]:
        """
        Request one call under each form of its id until one works; return the record and the instant of the request.

        Raises NotFound if no form is known to the provider, or if the answer is another call.
        """
        detail = self.provider.detail
        if detail is None:
            raise NotImplementedError(f"{self.provider.name} has no detail")
        forms = detail.id_forms(call_id)
        turn = self._form if self._form < len(forms) else 0
        absent: NotFound | None = None
        for form in (*forms[turn:], *forms[:turn]):
            try:
                path, body = self.path(detail.path, stream=stream, call=form), detail.body(form) if detail.body else None
                answer = self._noted(self.api.get_one(path, detail.record, body))
            except NotFound as refusal:
                absent = refusal
                continue
            record = identify(self.provider, self._stripped(answer.records)[0], cleaned=0 in answer.cleaned)
            if is_detail_of(self.provider, record, call_id):
                self._form = forms.index(form)
                return record, answer.sent_at
        raise absent or NotFound("The provider answered with another call than the one asked for.", naming=None)

    def total(self, *, stream: str, params: Mapping[str, str]) -> int | None:
        """Return the provider's total for a stream's list with the filter `params`."""
        listing = self.provider.listing
        answer = self.listed(stream=stream, style=listing.styles[-1], ask=Ask(number=1, size=1), also=params)
        self._compare_clocks(stream, answer, ())
        return listing.facts(answer.fields, answer.headers).total

    def tally(self, tally: Tally, **parts: str) -> Mapping[str, int] | None:
        """Request a provider's counts; None if the answer has an unexpected shape."""
        answer = self.api.get_one(self.path(tally.query, **parts), None)
        return tally.read(identify(self.provider, answer.records[0], cleaned=False).value)

    def agents(self) -> tuple[AgentRow, ...]:
        """Return all agents without duplicates. Raises PagingBroken if the list does not end."""
        agents = self.provider.agents
        if agents is None:
            return ()
        found: dict[str, AgentRow] = {}
        for number in range(1, AGENT_PAGES):
            params = agents.params(Ask(number=number, size=agents.page_size))
            answer = self._noted(self.api.get_list(self.path(agents.path), params, agents.records))
            facts = agents.facts(answer.fields, answer.headers)
            listed = [agents.agent(identify(self.provider, text, cleaned=False).value) for text in answer.records]
            fresh = {agent.agent_id: agent for agent in listed if agent is not None and agent.agent_id not in found}
            found.update(fresh)
            if not facts.more or not fresh:
                return tuple(found.values())
        raise PagingBroken(
            f"the list of agents did not end within {AGENT_PAGES} pages.",
            safe="Nothing was stored.",
            hint="Name the agents in the configuration (`agents = [...]`), or report this to the provider.",
        )


class Pager:
    """
    Requests the pages of one stream in the first way that works: styles in their order, page sizes from the largest.

    Where pages are asked for by tokens, it keeps those that it was told, and reads on from the nearest page before the one asked
    for: to land on a page far down costs a request for each page above it, of which nothing is handed on.

    A way that is refused with 400 or 422 before it served any page is replaced by the next one. `give_up_style` does the same
    for a way whose answers are wrong (the page number is ignored, or the order is not kept).
    """

    def __init__(self, source: Source, *, stream: str, found: Capabilities, per_page: int | None) -> None:
        listing = source.provider.listing
        self.window = listing.window
        self.retention = source.provider.retention
        self._ask_page: Callable[[Style, Ask], Page] = lambda style, ask: source.page(stream=stream, style=style, ask=ask)
        self._trail: tuple[object, ...] = ()  # which list the tokens lead through
        self._after: dict[int, str | None] = {}  # what leads to each page, by its number
        self._styles = self._all_styles = _from(listing.styles, found.style)
        self._all_sizes = (per_page,) if per_page else listing.page_sizes
        self._sizes = _sizes(self._all_sizes, found.size)
        self._accepted = False
        self.found = found

    @property
    def size(self) -> int:
        """The page size requested."""
        return self._sizes[0]

    @property
    def style(self) -> Style:
        """The way in which pages are asked for now."""
        return self._styles[0]

    def ends_before(
        self, number: int, *, size: int, last: Page, since: datetime | None = None, until: datetime | None = None
    ) -> bool:
        """
        Whether page `number` was refused because the list ends with the page before it, `last`; `size` is that of a full page.

        After the end of a list some APIs answer with an error instead of an empty page. But an error may also mean that the API
        does not page at all, or not so deep. So the end of the list is requested again with a smaller page size, where it must
        stand on a page that is not full.
        """
        if self._styles[0].by_token:
            return False
        reached = (number - 2) * size + len(last.records)
        if reached <= SURELY_ONE_PAGE < self.size:
            return True
        smaller = next((other for other in range(min(size, reached) - 1, 1, -1) if reached % other), None)
        if smaller is None:
            return False
        ask = Ask(number=reached // smaller + 1, size=smaller, since=since, until=until)
        try:
            page = self._ask_page(self._styles[0], ask)
        except ConnectionFailed:
            return False
        return len(page.records) == reached % smaller and page.ids[-1:] != () and page.ids[-1] in last.ids

    def smaller(self) -> bool:
        """Request pages of a quarter of the size from now on. Return False if the size is one already."""
        if self.size <= 1:
            return False
        self._sizes = self._all_sizes = (max(1, self.size // 4),)
        self.found = replace(self.found, size=self.size)
        return True

    def page(self, number: int, *, since: datetime | None = None, until: datetime | None = None) -> Page:
        """Request page `number`. Raises ProviderRefused if no way is left."""
        while True:
            try:
                page = self._asked(self._styles[0], Ask(number=number, size=self.size, since=since, until=until))
            except ProviderRefused as refusal:
                if self._accepted or refusal.status not in (400, 422) or not self._step_down():
                    raise
                continue
            if not self._accepted or self.found.checked_at is None:
                self._accepted = True
                checked_at = self.found.checked_at or page.sent_at
                self.found = replace(self.found, style=self.style.name, size=self.size, checked_at=checked_at)
            self._keep_to_size(page)
            return page

    def _keep_to_size(self, page: Page) -> None:
        """Ask for pages of the size that is served, where that is said to be a smaller one: offsets are counted by it."""
        size, total = page.facts.size, page.facts.total
        follows = page.facts.more or (total is not None and size is not None and total > size)
        if size is not None and 0 < size < self.size and len(page.records) == size and follows:
            self._sizes = (size,)

    def _asked(self, style: Style, ask: Ask) -> Page:
        """Request a page: by its number, or by what the pages before it say."""
        if not style.by_token:
            return self._ask_page(style, ask)
        trail = (style.name, ask.size, ask.since, ask.until)
        if ask.number == 1 or trail != self._trail:
            self._trail, self._after = trail, {1: None}
        at = max(number for number in self._after if number <= ask.number)
        while True:
            page = self._ask_page(style, replace(ask, number=at, after=self._after[at]))
            if at == ask.number:
                if page.facts.after is not None:
                    self._keep(at + 1, page.facts.after)
                return page
            if page.facts.after is None:  # the list ends above the page that was asked for
                return replace(page, records=(), facts=PageFacts(total=page.facts.total, size=page.facts.size, more=False))
            self._keep(at + 1, page.facts.after)
            at += 1

    def _keep(self, number: int, token: str) -> None:
        self._after[number] = token
        if len(self._after) > TOKENS:
            del self._after[min(self._after.keys() - {1})]

    def give_up_style(self) -> bool:
        """
        Switch to the next style; if there is none, return to the first that is not refused, and return False.

        Then the next run begins with the first of all: what was remembered may have come of answers that were wrong once.
        """
        given_up = len(self._styles) > 1
        self._styles = self._styles[1:] if given_up else self._all_styles
        self.found = replace(self.found, style=self._styles[0].name if given_up else None)
        return given_up

    def note_unsorted(self) -> None:
        """Remember that no style keeps the order."""
        self.found = replace(self.found, unsorted=True)

    def note_windows(self, *, longest: timedelta, most: int, cut: bool) -> None:
        """Remember the longest window and the largest answer seen whole, and whether longer windows are answered in part."""
        self.found = replace(self.found, longest=longest, most=most, cut=cut)

    def note_unfiltered(self) -> None:
        """Remember that the filter by the cursor is ignored."""
        self.found = replace(self.found, unfiltered=True)

    def _step_down(self) -> bool:
        if len(self._sizes) > 1:
            self._sizes = self._sizes[1:]
            return True
        refused = self._styles[0]
        if self.give_up_style():
            self._all_styles = tuple(style for style in self._all_styles if style is not refused)
            self._sizes = tuple(self._all_sizes)
            return True
        return False


def _led_on(facts: PageFacts, style: Style, records: tuple[Record, ...]) -> PageFacts:
    """Return what a page of tokens says of itself, with what leads on from its last record if that does."""
    after = facts.after
    if style.last is not None and records and isinstance(records[-1].value, dict):
        found = records[-1].value.get(style.last)
        after = None if found is None else str(found)
    more = facts.more if facts.more is not None or style.last is not None else after is not None
    return replace(facts, after=after, more=more)


def _from(styles: tuple[Style, ...], name: str | None) -> tuple[Style, ...]:
    names = [style.name for style in styles]
    return styles[names.index(name) :] if name in names else styles


def _sizes(sizes: tuple[int, ...], found: int | None) -> tuple[int, ...]:
    return tuple(size for size in sizes if found is None or size <= found) or sizes
