"""Compares what the form reads of pages with what they say, and learns how to write a page that says something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from etl.model import JSON
from etl.provider import Ask, PageFacts, Provider, Style
from etl.testing.asking import request_of
from etl.testing.faults import Fault, Raised, tried
from etl.testing.leaves import ABSENT, Place, changed, dotted, leaves
from etl.testing.payloads import Payloads, fields_of, name_of, records_in

NUMBERS = ("total", "number", "size", "offset")
FACTS = tuple(one.name for one in fields(PageFacts))

_LEADS = ("next", "token", "cursor", "after", "key", "page_key", "pagination")
_SOME = 70_001  # a number that no sample holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is true of a page that is to be served. `after` leads to the next one, where pages are asked for by tokens."""

    total: int
    number: int
    size: int
    offset: int
    more: bool
    after: str | None = None


def facts_of(provider: Provider, given: JSON) -> PageFacts:
    """Return what the form reads of a page without its records, `{"body": …, "headers": …}`. Raises Raised."""
    return tried("listing.facts", provider.listing.facts, given["body"], given["headers"])


def sample(provider: Provider, case: Mapping[str, JSON]) -> JSON:
    """Return a page of the payloads without its records."""
    headers = {name.lower(): value for name, value in (case.get("headers") or {}).items()}
    return {"body": fields_of(provider, case.get("body")), "headers": headers}


def faults_in_pages(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where the form reads something else of a page than it says, or does not find its records."""
    for place, case in enumerate(payloads.pages):
        name = name_of("pages", place, case)
        yield from _faults_in_records_key(provider, name, case.get("body"))
        page = sample(provider, case)
        facts = facts_of(provider, page)
        if (labelled := case.get("facts")) is not None:
            yield from _differences(provider, name, page, facts, labelled)
    if any(style.by_token and style.last is None for style in provider.listing.styles) and not any(
        facts_of(provider, sample(provider, case)).after is not None for case in payloads.pages
    ):
        yield Fault(
            "listing.facts", "of no page it returns what leads on to the next one (`after`)", _leading(provider, payloads)
        )


def _leading(provider: Provider, payloads: Payloads) -> str:
    found = [
        dotted(place[1:])
        for case in payloads.pages
        for place, value in leaves(sample(provider, case))
        if isinstance(value, str) and any(word in str(place[-1]).lower() for word in _LEADS)
    ]
    seen = f"The pages hold {' and '.join(f'`{one}`' for one in dict.fromkeys(found))}. " if found else ""
    return f"{seen}Return it as PageFacts(after=…); or name the key of the last record that leads on, Style(last=…)."


def _faults_in_records_key(provider: Provider, name: str, body: JSON) -> Iterator[Fault]:
    if records_in(provider, body) is not None:
        return
    lists = [key for key, value in body.items() if isinstance(value, list) and value] if isinstance(body, dict) else []
    keys = provider.listing.records
    if isinstance(body, list):
        yield Fault("listing.records", f"{name} is the list itself", "Leave the keys out: records=().")
    elif lists:
        stands = " or ".join(f"`{key}`" for key in keys) or "the body itself"
        yield Fault(
            "listing.records",
            f"{name} holds no list in {stands}",
            f'Its list stands under `{lists[0]}`: records=("{lists[0]}",).',
        )


def _differences(provider: Provider, name: str, page: JSON, facts: PageFacts, labelled: Mapping[str, JSON]) -> Iterator[Fault]:
    for unknown in sorted(labelled.keys() - set(FACTS)):
        yield Fault(f"payloads.{name}.facts", f"no page says `{unknown}`", f"The facts are {', '.join(FACTS)}.")
    for fact in FACTS:
        wanted, given = labelled.get(fact), getattr(facts, fact)
        if given == wanted:
            continue
        stands = [dotted(place[1:]) for place, value in leaves(page) if wanted is not None and str(value) == str(wanted)]
        near = get_close_matches(fact, stands, n=1, cutoff=0.0)
        where = f" It stands in `{near[0]}`." if near else ""
        yield Fault("listing.facts", f"of {name} it reads {fact}={given!r}", f"The page says {fact}={wanted!r}.{where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """How pages of one style are written: a page of the payloads, and which of its leaves says what."""

    provider: Provider
    page: JSON
    places: Mapping[str, Place]
    query: str | None  # where what leads on is an address: which part of its query tells pages apart
    seen: Mapping[Place, tuple[JSON, ...]]  # the values that the payloads have in each place
    known: dict[Truth, JSON | Fault] = field(default_factory=dict)

    def written(self, truth: Truth) -> JSON | Fault:
        """Return a page that says what is true, without its records. Raises Raised."""
        if truth not in self.known:
            self.known[truth] = self._written(truth)
        return self.known[truth]

    def _written(self, truth: Truth) -> JSON | Fault:
        page = self.page
        for fact in NUMBERS:
            if (place := self.places.get(fact)) is not None:
                page = changed(page, place, _as_before(page, place, getattr(truth, fact)))
        if (place := self.places.get("after")) is not None and truth.after is not None:
            page = changed(page, place, self.leading(dict(leaves(self.page))[place], truth.after))
        fitting = None
        for one in self._ends(page, truth):
            if not self._agrees(one, truth):
                continue
            if facts_of(self.provider, one).more is truth.more:
                return one
            fitting = fitting or one
        return fitting or self._cannot_say(truth)

    def leading(self, given: JSON, token: str) -> JSON:
        """Return what leads on, written as in the payloads, with another token in it."""
        return token if self.query is None else with_query(given, self.query, token)

    def _agrees(self, page: JSON, truth: Truth) -> bool:
        facts = facts_of(self.provider, page)
        says_next = facts.after is not None if truth.after is not None else True
        return facts.more in (None, truth.more) and says_next

    def _ends(self, page: JSON, truth: Truth) -> Iterator[JSON]:
        """Yield the page as it is, and with each leaf that is not known as something that it may be at the end of the list."""
        yield page
        taken = {self.places[fact] for fact in NUMBERS if fact in self.places}
        pages = -(-truth.total // max(truth.size, 1))
        for place, value in leaves(page):
            if place in taken or place in ((), ("body",), ("headers",)):
                continue
            others = [True, False] if isinstance(value, bool) else [pages] if isinstance(value, int) else [ABSENT, ""]
            others += [None] if place[0] == "body" else []  # a header is text
            for other in (*self.seen.get(place, ()), *others):
                yield changed(page, place, other)
        for place, values in self.seen.items():
            if place not in taken:
                yield from (changed(page, place, value) for value in values)

    def _cannot_say(self, truth: Truth) -> Fault:
        more = facts_of(self.provider, self.page).more
        what = "that another page follows" if truth.more else "that it is the last one"
        return Fault(
            "listing.facts",
            f"whatever a page like those of the payloads says, `facts` does not read {what}: more={more!r}",
            "Read `more` from what differs between a page in the middle and the last one, and give both among the payloads.",
        )


def _as_before(page: JSON, place: Place, value: int) -> JSON:
    before = dict(leaves(page)).get(place)
    return str(value) if isinstance(before, str) else value


def with_query(address: str, name: str, value: str) -> str:
    """Return an address with another value in a part of its query."""
    parts = urlsplit(address)
    query = [(key, value if key == name else other) for key, other in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(query)))


def learn(provider: Provider, style: Style, payloads: Payloads) -> Envelope | Fault:
    """Return how a style's pages are written, or what of them cannot be understood. Raises Raised."""
    pages = [sample(provider, case) for case in payloads.pages if case.get("style", style.name) == style.name]
    seen: dict[Place, list[JSON]] = {}
    for page in pages:
        for place, value in leaves(page):
            seen.setdefault(place, []).append(value)

    def tells(page: JSON) -> tuple[bool, int]:
        facts = facts_of(provider, page)
        leads = style.by_token and style.last is None
        return (facts.after is not None) if leads else (facts.more is True), sum(
            getattr(facts, fact) is not None for fact in FACTS
        )

    page = max(pages, key=tells, default={"body": {}, "headers": {}})
    places = _places(provider, page)
    query = None
    if style.by_token and style.last is None and "after" in places:
        found = _leads_back(provider, style, page, places["after"])
        if isinstance(found, Fault):
            return found
        query = found
    values = {place: tuple(known) for place, known in seen.items()}
    return Envelope(provider=provider, page=page, places=places, query=query, seen=values)


def _places(provider: Provider, page: JSON) -> dict[str, Place]:
    """Return from which leaf of a page each fact is read, as far as one leaf alone tells it."""
    base, places = facts_of(provider, page), dict[str, Place]()
    for place, value in leaves(page):
        if len(place) < 2:
            continue
        other = facts_of(provider, changed(page, place, str(_SOME) if isinstance(value, str) else _SOME))
        for fact in NUMBERS:
            if getattr(other, fact) == _SOME:
                places.setdefault(fact, place)
        if isinstance(value, str):
            other = facts_of(provider, changed(page, place, _longer(value)))
            for fact in ("after", "next_link"):
                if getattr(base, fact) is not None and getattr(other, fact) != getattr(base, fact):
                    places.setdefault(fact, place)
    return places


def _longer(value: str) -> str:
    """Return another text of the same kind: an address with more in its query."""
    return f"{value}&kit=1" if "?" in value else f"{value}0"


def _leads_back(provider: Provider, style: Style, page: JSON, place: Place) -> str | Fault | None:
    """Return which part of an address leads on, None if it is no address but all of it; or a fault if nothing does."""
    given, token = str(dict(leaves(page))[place]), "kit-token-1"
    names = [name for name, _ in parse_qsl(urlsplit(given).query, keep_blank_values=True)] if "?" in given or "=" in given else []
    for name in (None, *reversed(names)):
        text = token if name is None else with_query(given, name, token)
        try:
            after = facts_of(provider, changed(page, place, text)).after
            asked = request_of(style, Ask(number=2, size=7, after=after)) if after is not None else {}
        except Raised:
            continue
        if token in map(str, asked.values()):
            return name
    return Fault(
        "listing.facts",
        f"what it returns as `after`, read from `{dotted(place[1:])}`, does not come back in the request of the next page",
        f"Let listing.styles[{style.name}] send ask.after; of an address, take the query apart and send its parts.",
    )
