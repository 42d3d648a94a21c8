"""Turns the records of the payloads into rows, and says what of the form keeps one from being what it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from etl.model import (
    JSON,
    CallRow,
    Context,
    Derived,
    Drift,
    DriftNote,
    EventRow,
    MessageRow,
    ParticipantRow,
    Record,
    Rejection,
    Status,
)
from etl.provider import CALLS, Provider, all_of
from etl.records.content import same_content
from etl.records.derive import derive
from etl.records.identify import identify, is_detail_of
from etl.records.misfit import misfit
from etl.records.parse import unified_word
from etl.records.paths import cut_out
from etl.testing.clocks import kind_of
from etl.testing.faults import Fault, tried
from etl.testing.keeping import faults_in_keeping
from etl.testing.leaves import dotted, leaves
from etl.testing.payloads import Payloads, leads_to, name_of, records_in

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
SAME = timedelta(minutes=1)
"""What a provider's two records of one call may differ by."""

MACHINE = {"raw", "detail", "content_hash", "connection", "provider", "first_seen_at", "last_changed_at", "observed_at"}
MACHINE |= {"detail_observed_at", "detail_due_at", "last_run_id", "stream"}
CHILDREN = {"participants": ParticipantRow._fields, "messages": MessageRow._fields, "events": EventRow._fields}


def record_of(provider: Provider, value: JSON) -> Record:
    """Return what a walk hands on of a record: without what must never be stored."""
    text = json.dumps(value, ensure_ascii=False).encode()
    return identify(provider, cut_out(provider.never_stored, text) if provider.never_stored else text, cleaned=False)


def derived(provider: Provider, record: Record, detail: Record | None = None, *, stream: str = CALLS) -> Derived:
    """Return the row that a record becomes, with its detail if there is one."""
    context = Context(connection="made_up", stream=stream, currency="USD", run_id=7)
    asked_at = SEEN + timedelta(minutes=1) if detail is not None else None
    return tried("fields", derive, provider, context, record, observed_at=SEEN, detail=detail, detail_observed_at=asked_at)


def faults_in_records(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    """Yield where a record does not become the row that it should."""
    cases = [(name_of("calls", place, case), case) for place, case in enumerate(payloads.calls) if "record" in case]
    for place, page in enumerate(payloads.pages):
        inside = records_in(provider, page.get("body")) or ()
        cases += [(f"{name_of('pages', place, page)}, record {number}", {"record": one}) for number, one in enumerate(inside, 1)]
    for name, case in cases:
        yield from _faults_in_case(provider, name, case)
    yield from _faults_in_details(provider, payloads)
    yield from _faults_in_words(provider, payloads)


def _faults_in_case(provider: Provider, name: str, case: Mapping[str, JSON]) -> Iterator[Fault]:
    record = tried("read_id, read_cursor", record_of, provider, case["record"])
    if record.rejection is not None:
        yield _rejected(provider, name, case["record"], record.rejection)
        return
    detail = record_of(provider, case["detail"]) if "detail" in case else None
    if detail is not None:
        if detail.rejection is not None:
            yield _rejected(provider, f"the detail of {name}", case["detail"], detail.rejection)
            return
        if record.cursor is not None and detail.cursor is not None and abs(detail.cursor - record.cursor) > SAME:
            yield Fault(
                "cursor",
                f"of {name} the list and the detail have different ones",
                "Take an instant that never changes once the call exists.",
            )
    found = derived(provider, record, detail, stream=case.get("stream", CALLS))
    expected = [DriftNote(path, Drift(kind), sample) for path, kind, sample in case.get("drift", ())]
    for note in found.drift:
        if note not in expected:
            yield _drifted(provider, name, note, [case["record"], case.get("detail")])
    for note in expected:
        if note not in found.drift:
            yield Fault(
                f"payloads.{name}.drift",
                f"{note.kind.value} of `{note.path}` is expected, and not noted",
                "Take it out, if that is right.",
            )
    if "row" in case:
        yield from _faults_in_row(provider, name, case, found)
    yield from faults_in_keeping(provider, name, [case["record"], case.get("detail")])
    value = record.value
    if not same_content(provider, value, dict(reversed(value.items()))):
        yield Fault("volatile", f"{name} does not equal itself", "Report this: it is a fault of the program.")


def _rejected(provider: Provider, name: str, value: JSON, reason: Rejection) -> Fault:
    text = json.dumps(value).encode()
    stood, accepted = misfit(provider, text, reason)
    if reason is Rejection.BAD_CURSOR:
        instants = {dotted(place): kind for place, one in leaves(value) if (kind := kind_of(one)) is not None}
        at = next((instants[key] for key in all_of(provider.cursor) if key in instants), None)
        if at is not None:
            change = f"It is written as `{at}` reads it: read_cursor={at}{' (or none)' if at == 'instant' else ''}."
        else:
            listed = ", ".join(f"`{key}` ({kind})" for key, kind in instants.items()) or "none"
            change = f"Name the key of an instant that each call has and that never changes. Instants in this record: {listed}."
        return Fault("cursor", f"{name} has none: {stood}; wanted is {accepted}", change)
    if reason in (Rejection.MISSING_ID, Rejection.ID_TOO_LONG):
        likely = [
            dotted(place) for place, _ in leaves(value) if re.search(r"(^|_)(id|sid|uuid|uid)$", str(place[-1]), re.IGNORECASE)
        ]
        listed = ", ".join(f"`{key}`" for key in likely) or "none"
        return Fault(
            "call_id",
            f"{name} has none: {stood}; wanted is {accepted}",
            f"Name the key of the id. Keys like one in this record: {listed}.",
        )
    return Fault(
        "listing.records", f"{name} is no record of a call: {stood}; wanted is {accepted}", "Name the key of the list itself."
    )


def _drifted(provider: Provider, name: str, note: DriftNote, values: Sequence[JSON]) -> Fault:
    stands = [value for one in values if one is not None for place, value in leaves(one) if dotted(place) == note.path]
    if note.kind is Drift.NEW_STATUS:
        return Fault(
            "statuses",
            f"{name} has the word `{note.sample}`, which is not in it",
            f'Add it: "{note.sample}": Status.…; one of {", ".join(one.name for one in Status if one is not Status.UNKNOWN)}.',
        )
    if note.kind is Drift.NEW_FIELD:
        read = {key: field.column for field in provider.fields for key in all_of(field.key)}
        read |= {inside.key: name for name in CHILDREN if (inside := getattr(provider, name)) is not None}
        unmet = {key: column for key, column in read.items() if not any(_holds(one, key) for one in values)}
        heads = {key.partition(".")[0]: key for key in unmet}
        near = [heads[one] for one in get_close_matches(note.path, heads, n=1)] or get_close_matches(note.path, unmet, n=1)
        if near:
            change = (
                f"The field of {unmet[near[0]]} reads `{near[0]}`, which this record does not hold: did you mean `{note.path}`?"
            )
        else:
            change = (
                f'Give it a Field, or name it: attributes=("{note.path}",) to show it, ignored={{"{note.path}"}} for `raw` only.'
            )
        return Fault("fields", f"{name} holds `{note.path}` ({note.sample}), which the form does not know", change)
    if note.path in all_of(provider.status or ()):
        return Fault(
            "status",
            f"of {name} `{note.path}` holds no word ({note.sample})",
            "Name the key of the word, or say in `words` what tells it.",
        )
    if note.kind is Drift.END_BEFORE_START:
        return Fault("fields[ended_at]", f"{name} ends before it begins", "Look at which key is which, and at their parsers.")
    if note.kind in (Drift.WRONG_TYPE, Drift.OUT_OF_RANGE):
        kinds = [kind for one in stands if (kind := kind_of(one)) is not None]
        could = f"An instant like this is read by `{kinds[0]}`. " if kinds else ""
        return Fault(
            f"fields (key {note.path})",
            f"its parser cannot use what {name} holds there, a {note.sample} ({note.kind.value})",
            f"{could}Choose one for how it is written (etl.records.parse, etl.records.values), or write one that raises Unfit.",
        )
    return Fault("fields", f"{name}: {note.kind.value} of `{note.path}` ({note.sample})", "Clean the payload.")


def _holds(value: JSON, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _faults_in_row(provider: Provider, name: str, case: Mapping[str, JSON], found: Derived) -> Iterator[Fault]:
    row, wanted = found.call._asdict(), case["row"]
    for column in sorted(wanted.keys() - set(CallRow._fields)):
        yield Fault(f"payloads.{name}.row", f"there is no column `{column}`", "docs/schema.md lists them.")
    for column, value in row.items():
        if column in MACHINE:
            continue
        given, expected = _plain(column, value), wanted.get(column)
        if given != expected and not (column == "is_test" and column not in wanted):
            read = [", ".join(all_of(field.key)) for field in provider.fields if field.column == column]
            if column in ("status", "provider_status"):
                read = list(all_of(provider.status or ()))
            elif column in ("call_id", "cursor_at"):
                read = list(all_of(provider.call_id if column == "call_id" else provider.cursor))
            where = f"It is read from {' or '.join(f'`{key}`' for key in read)}." if read else "No field leads there."
            yield Fault(
                f"fields[{column}]" if column not in ("status", "call_id") else column,
                f"{name} becomes {given!r} and not {expected!r}",
                where,
            )
    keys = {"connection": "made_up", "call_id": row["call_id"]}
    for kind, names in CHILDREN.items():
        children = [dict.fromkeys(names) | child | keys for child in case.get(kind, [])]
        given_children = [{key: _plain(key, value) for key, value in child._asdict().items()} for child in getattr(found, kind)]
        if given_children != children:
            yield Fault(kind, f"of {name} they are {given_children}", f"The payload has {children}.")


def _plain(column: str, value: JSON) -> JSON:
    if isinstance(value, datetime):
        return value.isoformat()
    if column == "cost" and value is not None:
        return str(value)
    return json.loads(value) if column in ("attributes", "data") and value is not None else value


def _faults_in_details(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    if provider.detail is None or all(record_of(provider, value).rejection for value in payloads.listed(provider)):
        return
    for place, case in enumerate(payloads.details):
        name, body = name_of("details", place, case), case.get("body")
        if "path" in case and not leads_to(provider.detail.path, case["path"]):
            yield Fault(
                "detail.path", f"it is {provider.detail.path!r}", f"The documented request {name} goes to {case['path']!r}."
            )
        key = provider.detail.record
        value = body if key is None else body.get(key) if isinstance(body, dict) else None
        record = record_of(provider, value)
        if record.rejection is not None:
            objects = [one for one, inner in body.items() if isinstance(inner, dict)] if isinstance(body, dict) else []
            where = (
                f"its objects stand under {', '.join(f'`{one}`' for one in objects)}"
                if objects
                else "the body itself may be the call"
            )
            yield Fault(
                "detail.record",
                f"{name} holds no call in {f'`{key}`' if key else 'the body itself'}",
                f"Name its key (None: the body): {where}.",
            )
        elif "call_id" in case and not is_detail_of(provider, record, case["call_id"]):
            yield Fault(
                "detail.id_forms",
                f"{name} answers for another id than the one asked for",
                "Return every form of an id that the API may answer with.",
            )


def _faults_in_words(provider: Provider, payloads: Payloads) -> Iterator[Fault]:
    known = {unified_word(word): str(status) for word, status in provider.statuses.items()}
    own = {str(status): str(status) for status in Status}
    for word, status in payloads.words.items():
        given = known.get(unified_word(word), own.get(unified_word(word)))
        if given is None:
            yield Fault("statuses", f"the documented word `{word}` is not in it", f'Add it: "{word}": Status.{status.upper()}.')
        elif given != status:
            yield Fault("statuses", f"`{word}` becomes {given}", f"The payloads say {status}: one of the two is wrong.")
