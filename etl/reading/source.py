"""Requests pages, details and agents of one account, and finds out which way of asking works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType
from urllib.parse import quote

from etl.errors import NotFound, PagingBroken
from etl.model import JSON, AgentRow, DriftNote, Record
from etl.provider import Ask, PageFacts, Provider, Style, Tally
from etl.reading.api import Answer, Api
from etl.reading.clocks import Apart, believed, newest_two
from etl.reading.parts import asked, joined, oddities
from etl.records.identify import identify, identify_all, is_detail_of
from etl.records.parse import Unfit, instant
from etl.records.paths import cut_out

RELOOK = timedelta(days=7)
"""How long findings about paging and order are trusted before they are made again."""

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
            self._note(answer.departures)
        return answer

    def _note(self, departures: Iterable[DriftNote]) -> None:
        with self._noting:
            self._departures.update(departures)

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
        Request one call and its parts; return them as one record, and the instant of the first request.

        Raises NotFound if the provider does not know the call, or answers with another.
        """
        record, asked_at, form = self._found(stream=stream, call_id=call_id)
        parts = self.provider.parts
        if not parts:
            return record, asked_at
        found = [(part, asked(self.api, part, self.path(part.path, stream=stream, call=form), call=form)) for part in parts]
        for part, answer in found:
            notes = [*oddities(self.provider.listing, record.value, part, answer), *(answer.departures if answer else ())]
            self._note(notes)
        text, cleaned = joined(record.text, found), any(answer is not None and bool(answer.cleaned) for _, answer in found)
        return identify(self.provider, self._stripped((text,))[0], cleaned=cleaned or record.cleaned), asked_at

    def meet(self, *, stream: str, call_id: str) -> None:
        """Request one call without its parts, only to see that the provider still knows it. Raises as `detail` does."""
        self._found(stream=stream, call_id=call_id)

    def _found(self, *, stream: str, call_id: str) -> tuple[Record, datetime, str]:
        """Request one call under each form of its id until one works; return also which."""
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
                return record, answer.sent_at, form
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


def _led_on(facts: PageFacts, style: Style, records: tuple[Record, ...]) -> PageFacts:
    """Return what a page of tokens says of itself, with what leads on from its last record if that does."""
    after = facts.after
    if style.last is not None and records and isinstance(records[-1].value, dict):
        found = records[-1].value.get(style.last)
        after = None if found is None else str(found)
    more = facts.more if facts.more is not None or style.last is not None else after is not None
    return replace(facts, after=after, more=more)
