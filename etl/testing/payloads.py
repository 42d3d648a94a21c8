"""The payloads that a provider is proven with: what the API's documentation shows, or what it answered, without personal data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from etl.model import JSON
from etl.provider import Ask, Provider
from etl.testing.faults import Fault

KINDS = ("asks", "pages", "calls", "details", "parts", "failures", "agents", "words")
README = "docs/adding-a-provider.md says what each holds."


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """What was given, one tuple of cases for each kind."""

    asks: tuple[Mapping[str, JSON], ...]
    pages: tuple[Mapping[str, JSON], ...]
    calls: tuple[Mapping[str, JSON], ...]
    details: tuple[Mapping[str, JSON], ...]
    parts: tuple[Mapping[str, JSON], ...]
    failures: tuple[Mapping[str, JSON], ...]
    agents: tuple[Mapping[str, JSON], ...]
    words: Mapping[str, str]

    @classmethod
    def of(cls, given: Mapping[str, JSON]) -> Payloads:
        """Take the kinds apart; what is missing is empty."""
        cases = {kind: tuple(one for one in given.get(kind) or () if isinstance(one, dict)) for kind in KINDS[:-1]}
        words = given.get("words")
        return cls(**cases, words=words if isinstance(words, dict) else {})

    def listed(self, provider: Provider) -> list[JSON]:
        """Return the records of the list that were given: those of `calls`, and those that pages hold."""
        inside = [record for page in self.pages for record in records_in(provider, page.get("body")) or ()]
        return [case["record"] for case in self.calls if "record" in case] + inside


def records_in(provider: Provider, body: JSON) -> list[JSON] | None:
    """Return the records in the body of a page; None where it was given without them."""
    keys = provider.listing.records
    if not keys:
        return body if isinstance(body, list) else None
    found = next((body[key] for key in keys if key in body), None) if isinstance(body, dict) else None
    return found if isinstance(found, list) else None


def fields_of(provider: Provider, body: JSON) -> dict[str, JSON]:
    """Return what a page says beside its records, as `facts` is given it."""
    if not isinstance(body, dict):
        return {}
    return {key: value for key, value in body.items() if key not in provider.listing.records}


def ask_of(case: Mapping[str, JSON]) -> Ask:
    """Return what a request of the payloads asks for."""
    since, until = (datetime.fromisoformat(case[key]) if case.get(key) else None for key in ("since", "until"))
    return Ask(number=case.get("number", 1), size=case.get("size", 50), since=since, until=until, after=case.get("after"))


def name_of(kind: str, place: int, case: Mapping[str, JSON]) -> str:
    """Return how messages name a case."""
    named = case.get("name")
    return f"{kind}[{place}] ({named})" if named else f"{kind}[{place}]"


def missing(provider: Provider, given: Mapping[str, JSON], payloads: Payloads) -> list[Fault]:
    """Return what has to be given and is not, and what nobody asked for."""
    faults = [
        Fault(f"payloads.{kind}", "there is no such kind of payload", f"The kinds are {', '.join(KINDS)}; {README}")
        for kind in given
        if kind not in KINDS
    ]

    def lacks(kind: str, seen: str, change: str) -> None:
        faults.append(Fault(f"payloads.{kind}", seen, change))

    shown = {case.get("style", provider.listing.styles[0].name) for case in payloads.asks if provider.listing.styles}
    for style in provider.listing.styles:
        if style.name not in shown:
            lacks(
                "asks",
                f"no request of the style {style.name!r} is shown",
                'Copy one from the API\'s documentation, and say what it asks for: {"number": 2, "size": 50, "params": {…}}.',
            )
    if not payloads.pages:
        lacks("pages", "no page is shown", 'Copy one that another follows, and the last one: {"body": {…}, "facts": {…}}.')
    for place, case in enumerate(payloads.pages):
        if not isinstance(case.get("facts"), dict):
            lacks(
                name_of("pages", place, case),
                "what the page says of itself is not told",
                'Add it in your own words, "facts": {"total": 250, "more": true}; {} if it says nothing.',
            )
    if not payloads.listed(provider):
        lacks("calls", "no call is shown", 'Copy records from the list, of every kind that there is: {"record": {…}}.')
    if provider.agents is not None and not payloads.agents:
        lacks(
            "agents", "no agent is shown", 'Copy one from the list of agents: {"record": {…}, "agent": [id, name, status, null]}.'
        )
    if provider.detail is not None and not any(naming_call(provider, case) for case in payloads.failures):
        lacks(
            "failures",
            "nothing shows how the API answers for a call that it does not know",
            'Copy that answer, {"status": 404, "body": {…}}, and let `failure` return naming="call" for it; else none is gone.',
        )
    return faults


def leads_to(template: str, path: str) -> bool:
    """Whether a path of the form, with something in the place of each `{…}`, is this one."""
    parts = re.split(r"{\w+}", template)
    return re.fullmatch("[^/]+".join(map(re.escape, parts)), path) is not None


def naming_call(provider: Provider, case: Mapping[str, JSON]) -> bool:
    """Whether an error of the payloads is understood as that of an absent call."""
    try:
        failure = provider.failure(case.get("status", 0), case.get("body"))
    except Exception:  # noqa: BLE001 - told where failures are looked at
        return False
    return failure is not None and failure.naming == "call" and (failure.status or case.get("status")) == 404
