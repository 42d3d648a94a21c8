"""Looks at the parts of calls: whether they are asked for and read as documented, and how the kit's server answers for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from etl.model import JSON
from etl.provider import Part, Provider
from etl.reading.parts import ABSENT
from etl.testing.faults import Fault, tried
from etl.testing.payloads import Payloads, leads_to, name_of


def faults_in_parts(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where a part is not asked for, or not read, as the documentation shows."""
    parts = {part.key: part for part in provider.parts}
    yield from _missing(parts, payloads)
    for place, case in enumerate(payloads.parts):
        name, part = name_of("parts", place, case), parts.get(case.get("part", ""))
        if part is None:
            known = ", ".join(parts) or "none"
            yield Fault(f"payloads.{name}", f"no part has the key {case.get('part')!r}", f"The parts of the detail: {known}.")
        else:
            yield from _faults_in_request(part, name, case)
            yield from _faults_in_answer(provider, part, name, case)
    yield from _faults_in_keys(provider, payloads)


def _missing(keys: Iterable[str], payloads: Payloads) -> Iterator[Fault]:
    for key in keys:
        if not any(case.get("part") == key and case.get("status", 200) < 400 for case in payloads.parts):
            yield Fault(
                "payloads.parts",
                f"no answer for the part `{key}` is shown",
                f'Copy one, {{"part": "{key}", "call_id": "…", "path": "…", "body": {{…}}}}, and that of a call without one.',
            )
        if not any(isinstance(case.get("detail"), dict) and case["detail"].get(key) for case in payloads.calls):
            yield Fault(
                "payloads.calls",
                f"no call's `detail` holds the part `{key}`",
                "Put what is kept of its answer there, under its key: `detail` is the call's answer with its parts in it.",
            )


def _faults_in_request(part: Part, name: str, case: Mapping[str, JSON]) -> Iterator[Fault]:
    where = f"detail.parts[{part.key}]"
    if "path" in case and not leads_to(part.path, case["path"]):
        yield Fault(f"{where}.path", f"it is {part.path!r}", f"The documented request {name} goes to {case['path']!r}.")
    sent = None if part.body is None else tried(f"{where}.body", part.body, case.get("call_id", "a1"))
    if sent != case.get("asked"):
        change = "has no body, by GET" if "asked" not in case else f"has the body {case['asked']!r}, by POST"
        yield Fault(f"{where}.body", f"it sends {'none' if sent is None else sent!r}", f"The documented request {name} {change}.")


def _faults_in_answer(provider: Provider, part: Part, name: str, case: Mapping[str, JSON]) -> Iterator[Fault]:
    status, body = case.get("status", 200), case.get("body")
    failure = tried("failure", provider.failure, status, body)
    if status >= 400 or failure is not None:
        read = None if failure is None else (failure.status or status, failure.naming)
        if read is None or read[0] != 404 or read[1] not in ABSENT:
            yield Fault(
                "failure",
                f"{name}, which says that a call has no such part, is understood as {read}",
                'Return Failure(naming="part") for it, with status=404 if it has another status; else the whole detail fails.',
            )
        return
    where, wanted = f"detail.parts[{part.key}]", list if part.is_list else dict
    if isinstance(_value(part, body), wanted):
        return
    kind = "list" if part.is_list else "object"
    if isinstance(_value(part, body), list | dict):
        other = not part.is_list
        yield Fault(f"{where}.is_list", f"what {name} holds is no {kind}", f"Say what it is: is_list={other}.")
        return
    inside = [key for key, value in body.items() if isinstance(value, wanted)] if isinstance(body, dict) else []
    stands = f'One stands under `{inside[0]}`: record="{inside[0]}".' if inside else "If the body itself is it: record=None."
    yield Fault(f"{where}.record", f"{name} holds no {kind} there", stands)


def _value(part: Part, body: JSON) -> JSON:
    if part.record is None:
        return body
    return body.get(part.record) if isinstance(body, dict) else None


def _faults_in_keys(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    key = provider.detail.record if provider.detail is not None else None
    for place, case in enumerate(payloads.details):
        body = case.get("body")
        own = body if key is None else body.get(key) if isinstance(body, dict) else None
        for part in provider.parts:
            if isinstance(own, dict) and part.key in own:
                yield Fault(
                    f"detail.parts[{part.key}].key",
                    f"{name_of('details', place, case)}, the answer for the call itself, holds it too",
                    "Give the part a key that is its own.",
                )


def own_of(provider: Provider, detail: JSON) -> JSON:
    """Return what the answer for a call itself holds of a detail: all but its parts."""
    parts = {part.key for part in provider.parts}
    return {key: value for key, value in detail.items() if key not in parts} if parts else detail


def answer_of(part: Part, payloads: Payloads, detail: JSON) -> tuple[int, JSON] | None:
    """Return how the API answers for a part of a call: its status and body. None: as for a call that it does not know."""
    cases = [case for case in payloads.parts if case.get("part") == part.key]
    value = detail.get(part.key)
    if value is None:
        refused = next((case for case in cases if case.get("status", 200) >= 400), None)
        if refused is not None:
            return refused["status"], refused.get("body")
        if not part.is_list:
            return None
        value = []
    shown: JSON = next(
        (case["body"] for case in cases if case.get("status", 200) < 400 and isinstance(case.get("body"), dict)), {}
    )
    return 200, value if part.record is None else {**shown, part.record: value}
