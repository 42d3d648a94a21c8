"""What a row says of each field follows from when each record was observed, in whatever order and however often."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from etl import providers
from etl.model import Context, Record
from etl.provider import Field
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.parse import text

KROSAI = providers.get("krosai")
CONTEXT = Context(connection="made_up", stream="calls", currency="USD", run_id=7)
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALL = {"id": "a", "created_at": "2026-05-01T10:00:00Z", "status": "completed"}
COLUMNS = {"transcript": "transcript", "hangup_cause": "end_reason", "recording_url": "recording_url", "endpoint_id": "agent_id"}
"""Keys of a record, and the column that each becomes."""

RECORDS = st.dictionaries(st.sampled_from(sorted(COLUMNS)), st.sampled_from([None, "one", "two"]))


def record(value: dict[str, Any]) -> Record:
    """Return what a walk hands on of a call with these fields."""
    return identify(KROSAI, json.dumps(CALL | value).encode(), cleaned=False)


def expected(listed: dict[str, Any], asked: dict[str, Any], *, detail_later: bool) -> dict[str, Any]:
    """Return each column by the rule in words: what the later record has, and where that is nothing, what the earlier has."""
    later, earlier = (asked, listed) if detail_later else (listed, asked)
    return {column: earlier.get(key) if later.get(key) is None else later[key] for key, column in COLUMNS.items()}


@given(listed=RECORDS, asked=RECORDS, minutes=st.integers(-1, 1))
@example(listed={"transcript": None, "hangup_cause": "busy"}, asked={"transcript": "hello"}, minutes=-1)
def test_a_null_is_no_knowledge(listed: dict[str, Any], asked: dict[str, Any], minutes: int) -> None:
    """Of two values the later counts (the detail's, if both are equally old); a null or a missing key displaces none."""
    entry = derive(
        KROSAI,
        CONTEXT,
        record(listed),
        observed_at=SEEN,
        detail=record(asked),
        detail_observed_at=SEEN + timedelta(minutes=minutes),
    )
    wanted = expected(listed, asked, detail_later=minutes >= 0)
    assert {column: getattr(entry.call, column) for column in COLUMNS.values()} == wanted


def test_inside_an_object_only_a_field_with_a_column_is_looked_for_in_both() -> None:
    """The later object stands for itself, nulls included; a column that it leaves open is filled from the earlier object."""
    provider = replace(
        KROSAI,
        fields=(*KROSAI.fields, Field(column="error_reason", key="fault.text", parse=text)),
        attributes=("fault",),
        attributes_object=None,
    )
    for later in ({"text": None, "code": None}, {"code": None}):
        entry = derive(
            provider,
            CONTEXT,
            record({"fault": later}),
            observed_at=SEEN,
            detail=record({"fault": {"text": "no line", "code": 5}}),
            detail_observed_at=SEEN - timedelta(minutes=1),
        )
        assert (entry.call.error_reason, json.loads(entry.call.attributes or "")) == ("no line", {"fault": later})
