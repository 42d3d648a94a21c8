"""A form with a part: it is proven, its mistakes are found, and its detail is one document to whatever is done with one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from etl.cli.surveying import Surveyed
from etl.model import Context
from etl.provider import Provider
from etl.providers import aircall
from etl.reading.survey import Survey
from etl.records.asking import late_parts_missing
from etl.records.content import same_content
from etl.records.cutting import cut_detail
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.shield import Cut, Shield
from etl.runs.account import Account
from etl.testing import Unproven, check, scenes
from tests.providers.transcribed import SPOKEN, TRANSCRIBED, TRANSCRIPTION, payloads, with_part

SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALL = next(case for case in payloads()["calls"] if "detail" in case)
PARTS = payloads()["parts"]


def test_a_form_with_a_part_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Details are asked for of open and answered calls alone, each with its part; what that costs is told.

    Parts show in the first scene alone; what the others do to Aircall is looked at elsewhere.
    """
    monkeypatch.setattr(scenes, "SCENES", dict(list(scenes.SCENES.items())[:1]))
    cost = check(TRANSCRIBED, payloads())

    assert cost.calls == 11 and 0 < cost.parts == cost.details and cost.parts_again == cost.details_again
    assert f"{cost.details} details with {cost.parts} parts" in str(cost)


def changed(place: int, **other: Any) -> dict[str, Any]:
    """Return the payloads with something else in one of those of the part."""
    return payloads(parts=[{**part, **other} if number == place else part for number, part in enumerate(PARTS)])


def own(key: str) -> dict[str, Any]:
    """Return the payloads with an answer for the call itself that holds a key."""
    return payloads(details=[{"call_id": "3210000000012", "body": {"call": {**CALL["record"], key: {}}}}])


LISTED = changed(0, body={"transcription": [TRANSCRIPTION]})

MISTAKES: dict[str, tuple[Provider, dict[str, Any], str, str]] = {
    "the path is another": (with_part(path="/calls/{call}/transcript"), payloads(), ".path", "/transcription'"),
    "the path has no id": (with_part(path="/calls/transcription"), payloads(), ".path", "{call}"),
    "the path has no slash": (with_part(path="calls/{call}"), payloads(), ".path", "'/calls/{call}'"),
    "the path names what is not known": (with_part(path="/{id}/{call}"), payloads(), ".path", 'Setting(name="id"'),
    "it is asked by POST": (with_part(body=lambda call: {"id": call}), payloads(), ".body", "by GET"),
    "it is asked with another body": (
        with_part(body=lambda call: {"id": call}),
        changed(0, asked={"ids": ["3210000000012"]}),
        ".body",
        "'ids'",
    ),
    "it stands under another key": (with_part(record="content"), payloads(), ".record", 'record="transcription"'),
    "it is a list": (TRANSCRIBED, LISTED, ".is_list", "is_list=True"),
    "it is no list": (with_part(is_list=True), payloads(), ".is_list", "is_list=False"),
    "its key is the id's": (with_part(key="id"), payloads(), ".key", "neither call_id"),
    "its key is a path": (with_part(key="a.b"), payloads(), ".key", "One word"),
    "its key is the call's own": (TRANSCRIBED, own("transcription"), ".key", "its own"),
    "its 404 names nothing": (TRANSCRIBED, changed(1, body={"message": "Not Found"}), "failure", 'naming="part"'),
    "its refusal is one of the credential": (
        replace(TRANSCRIBED, failure=aircall.PROVIDER.failure),
        payloads(),
        "failure",
        "401",
    ),
    "no answer is shown": (TRANSCRIBED, payloads(parts=PARTS[1:]), "payloads.parts", '"part": "transcription"'),
    "it is in no call": (TRANSCRIBED, payloads(calls=[{"record": CALL["record"]}]), "payloads.calls", "under its key"),
    "it is called something else": (TRANSCRIBED, changed(2, part="words"), "payloads.parts[2] (no add-on)", "transcription."),
    "what is awaited is not read": (
        replace(TRANSCRIBED, late_parts=("transcript",)),
        payloads(),
        "late_parts",
        "`transcription`",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_said_how_to_mend(mistake: str) -> None:
    """Before anything is asked for."""
    provider, given, place, advice = MISTAKES[mistake]
    with pytest.raises(Unproven) as found:
        check(provider, given)

    said = [str(fault) for fault in found.value.faults if fault.place.endswith(place)]
    assert any(advice in one for one in said), found.value


def test_a_detail_with_a_part_is_one_document() -> None:
    """It is awaited, compared, read and erased as if all of it had come with one answer."""
    record, text = (identify(TRANSCRIBED, json.dumps(CALL[which]).encode(), cleaned=False) for which in ("record", "detail"))
    context = Context(connection="made_up", stream="calls", currency="USD", run_id=1)
    without = {**text.value, "transcription": None}
    row = derive(TRANSCRIBED, context, record, observed_at=SEEN, detail=text, detail_observed_at=SEEN)

    assert (row.call.transcript, row.drift) == (SPOKEN, ())
    assert [late_parts_missing(TRANSCRIBED, "completed", one) for one in (text.value, without)] == [False, True]
    assert [same_content(TRANSCRIBED, text.value, one) for one in (dict(text.value), without)] == [True, False]
    spoken, persons = (cut_detail(TRANSCRIBED, text, how, Shield(key=b"made up")).value for how in (Cut.WORDS, Cut.PERSONS))
    assert spoken["transcription"]["content"] == {"language": "en", "utterances": None}
    assert "transcription" not in persons and persons["id"] == text.value["id"]


def test_a_first_sync_is_told_with_its_parts() -> None:
    """By `etl check`: a page of 50, and for each call its detail and its part."""
    account = Account(connection="made_up", provider=TRANSCRIBED, lookback=TRANSCRIBED.lookback)
    nothing = Survey(*[None] * len(Survey._fields))
    survey = nothing._replace(asked=1, calls=100)

    assert Surveyed(account=account, survey=survey, limits=(), daily=None, spent=0).requests == 2 + 100 + 100
