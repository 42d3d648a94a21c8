"""Compares how the form asks for pages with how the API's documentation does, and learns which part of a request says what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from etl.model import JSON
from etl.provider import Ask, Provider, Style
from etl.testing.clocks import day_or_instant
from etl.testing.faults import Fault, tried
from etl.testing.form import is_filtered
from etl.testing.leaves import Place, dotted, leaves
from etl.testing.payloads import Payloads, ask_of, leads_to, name_of

Leaves = dict[Place, JSON]

_SINCE, _UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)
_DAYS = timedelta(days=2)
_LEADS = "/made-up?token=made-up"  # a token, and an address too
_NUMBERS: Mapping[str, Callable[[int, int], int]] = {
    "page": lambda number, size: number,
    "offset": lambda number, size: (number - 1) * size,
    "page from zero": lambda number, size: number - 1,
    "first from one": lambda number, size: (number - 1) * size + 1,
}
"""How a place in the list is written, by its page and the page size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """Where a style's requests say what they ask for; None for what they do not say."""

    number: Place | None
    counts: str  # which of `_NUMBERS`
    size: Place | None
    since: Place | None
    until: Place | None
    includes_until: bool  # whether the bound that is sent is the last instant wanted, not the first one that is not

    def offset(self, asked: Leaves, *, size: int) -> int:
        """Return how many calls a request passes over."""
        if self.number is None or self.number not in asked:
            return 0
        said = int(asked[self.number])
        page = next((one for one in range(1, 1000) if _NUMBERS[self.counts](one, size) == said), None)
        return (page - 1) * size if page is not None else said


def request_of(style: Style, ask: Ask) -> Leaves:
    """Return the leaves of the request that a style makes. Raises Raised."""
    place = f"listing.styles[{style.name}]"
    params = tried(f"{place}.params", style.params, ask)
    body = None if style.body is None else tried(f"{place}.body", style.body, ask)
    return request_leaves(params, body)


def request_leaves(params: Mapping[str, JSON], body: JSON) -> Leaves:
    """Return the leaves of a request, those of its query and of its body."""
    return dict(leaves({"params": dict(params), **({} if body is None else {"body": body})}))


def faults_in_asks(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where a request is not what the documentation shows."""
    styles = {style.name: style for style in provider.listing.styles}
    first = next(iter(styles), "")
    for place, case in enumerate(payloads.asks):
        style, name = styles.get(case.get("style", first)), name_of("asks", place, case)
        if style is None:
            yield Fault(f"payloads.{name}", f"no style is called {case.get('style')!r}", f"The styles are {', '.join(styles)}.")
            continue
        if (style.body is not None) != ("body" in case):
            sends = "sends a body, by POST" if style.body is not None else "sends no body, by GET"
            shown = "has one" if "body" in case else "has none"
            yield Fault(
                f"listing.styles[{style.name}]",
                f"it {sends}, and the documented request {name} {shown}",
                "Give the Style a `body`, or take it away.",
            )
            continue
        if "path" in case and not leads_to(provider.listing.path, case["path"]):
            yield Fault(
                "listing.path", f"it is {provider.listing.path!r}", f"The documented request {name} goes to {case['path']!r}."
            )
        wanted = request_leaves(case.get("params", {}), case.get("body"))
        yield from _differences(style, name, wanted, request_of(style, ask_of(case)))


def _differences(style: Style, name: str, wanted: Leaves, given: Leaves) -> Iterator[Fault]:
    lacking = {place: value for place, value in wanted.items() if place not in given}
    for place, value in given.items():
        where = f"listing.styles[{style.name}].{place[0]}"
        if place not in wanted:
            same = [one for one, other in lacking.items() if other == value]
            near = get_close_matches(dotted(place), list(map(dotted, same or lacking)), n=1, cutoff=0.0 if same else 0.6)
            meant = next((one for one in lacking if dotted(one) == near[0]), None) if near else None
            if meant is not None:
                lacking.pop(meant)
                change = f"The documented request ({name}) calls it `{dotted(meant[1:])}`."
            else:
                change = f"The documented request ({name}) has no such thing: leave it out."
            yield Fault(where, f"it sends `{dotted(place[1:])}`", change)
        elif value != wanted[place]:
            yield Fault(
                where,
                f"it sends `{dotted(place[1:])}` as {value!r}",
                f"The documented request ({name}) has {wanted[place]!r} there{_how(value, wanted[place])}.",
            )
    for place, value in lacking.items():
        yield Fault(
            f"listing.styles[{style.name}].{place[0]}",
            f"it does not send `{dotted(place[1:])}`",
            f"The documented request ({name}) sends it, as {value!r}.",
        )


def _how(given: JSON, wanted: JSON) -> str:
    if type(given) is not type(wanted):
        return f", a {_type(wanted)} in the place of a {_type(given)}"
    return ""


def _type(value: JSON) -> str:
    return {str: "text", int: "number", float: "number", bool: "truth value"}.get(type(value), "value")


def learn(provider: Provider, style: Style) -> Wording | Fault:
    """Return where the requests of a style say what they ask for, or what is missing in them. Raises Raised."""
    place = f"listing.styles[{style.name}]"
    bounds = {"since": _SINCE, "until": _UNTIL} if is_filtered(provider) else {}
    first = Ask(number=1, size=7, since=bounds.get("since"), until=bounds.get("until"))
    number, counts = None, "page"
    if style.by_token:
        second = replace(first, number=2, after=_LEADS)
        if not _moving(style, second, after=f"{_LEADS}-other"):
            return Fault(
                place,
                "nothing in its request changes with `ask.after`: each page would be the first one again",
                "Send ask.after where it is not None.",
            )
    else:
        found = _numbered(style, replace(first, number=3))
        if isinstance(found, Fault):
            return found
        number, counts = found
    size = next((one for one in _moving(style, first, size=9) if one != number), None)
    if size is None and len(provider.listing.page_sizes) > 1:
        return Fault(
            place,
            "nothing in its request changes with `ask.size`",
            "Send ask.size; or name the one size that the API has in `page_sizes`.",
        )
    places: dict[str, Place] = {}
    includes = False
    for name, bound in bounds.items():
        sent = _bounded(style, first, name, bound)
        if isinstance(sent, Fault):
            return sent
        places[name], at = sent
        includes = includes or (name == "until" and at < bound)
    window = provider.listing.window
    includes = includes or (window is not None and bool(window.until_included))
    return Wording(
        number=number, counts=counts, size=size, since=places.get("since"), until=places.get("until"), includes_until=includes
    )


def _moving(style: Style, ask: Ask, **other: object) -> list[Place]:
    """Return what of a request changes if something else is asked for."""
    base, with_other = request_of(style, ask), request_of(style, replace(ask, **other))  # type: ignore[arg-type]
    return [one for one, value in with_other.items() if base.get(one) != value]


def _numbered(style: Style, ask: Ask) -> tuple[Place, str] | Fault:
    """Return what of a request says which page is asked for, and how."""
    place, base, moving = f"listing.styles[{style.name}]", request_of(style, ask), _moving(style, ask, number=5)
    for one in moving:
        for kind, how in _NUMBERS.items():
            if str(base.get(one)) == str(how(ask.number, ask.size)):
                return one, kind
    if moving:
        return Fault(
            place,
            f"it writes page {ask.number} of pages of {ask.size} as `{dotted(moving[0])}` = {base.get(moving[0])!r}",
            "Write ask.number, or the offset (ask.number - 1) * ask.size.",
        )
    return Fault(
        place,
        "nothing in its request changes with `ask.number`: each page would be the first one again",
        "Send ask.number or (ask.number - 1) * ask.size; or ask.after, with by_token=True, where a page names the next.",
    )


def _bounded(style: Style, ask: Ask, name: str, bound: datetime) -> tuple[Place, datetime] | Fault:
    """Return what of a request says a bound of the filter, and the instant that it says."""
    place = f"listing.styles[{style.name}]"
    found = next(iter(_moving(style, ask, **{name: bound - _DAYS})), None)
    if found is None:
        return Fault(
            place,
            f"nothing in its request changes with `ask.{name}`, and the list is to be filtered by the cursor",
            "Send it as the API's filter; if there is none, the list is Order.NEWEST_FIRST without a `window`.",
        )
    sent = request_of(style, ask)[found]
    at = day_or_instant(sent)
    if at is None or abs(at - bound) > timedelta(days=1, seconds=1):
        return Fault(
            place,
            f"it writes ask.{name} = {bound.isoformat()} as {sent!r}",
            "Write the instant as the API reads it: ISO 8601, or seconds or milliseconds since 1970 "
            "(`ask.since.timestamp()`), never a text of Python's.",
        )
    return found, at
