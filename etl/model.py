"""The values that pass between the packages: statuses, rows, records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from etl.json_text import decoded

JSON = Any
"""A decoded JSON value, which the type checker does not look into."""


class Status(StrEnum):
    """The unified status of a call."""

    QUEUED = "queued"
    RINGING = "ringing"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"
    VOICEMAIL = "voicemail"
    UNKNOWN = "unknown"


OPEN_STATUSES = (Status.QUEUED, Status.RINGING, Status.IN_PROGRESS, Status.UNKNOWN)
"""Statuses of calls that have not ended; their details are fetched until they do."""


class Drift(StrEnum):
    """How a value departed from what the provider documents (`sync.schema_drift.kind`)."""

    NEW_FIELD = "new_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    NEW_STATUS = "new_status"
    END_BEFORE_START = "end_before_start"
    CLEANED_TEXT = "cleaned_text"


class Rejection(StrEnum):
    """Why a record could not become a row (`sync.rejected_records.reason`)."""

    NOT_AN_OBJECT = "not_an_object"
    MISSING_ID = "missing_id"
    BAD_CURSOR = "bad_cursor"
    ID_TOO_LONG = "id_too_long"
    ID_IN_TWO_STREAMS = "id_in_two_streams"
    DATABASE_REFUSED = "database_refused"


class Verdict(StrEnum):
    """What an audit found (`sync.audits.verdict`)."""

    COMPLETE = "complete"
    MISMATCH = "mismatch"
    REPAIRED = "repaired"
    UNVERIFIABLE = "unverifiable"


LATER: JSON = object()
"""Marks a value that is decoded at use."""


class Record(NamedTuple):
    """
    One record of a page after a first look: its id, its cursor, and whether it can become a row.

    Either `rejection` is None and `call_id` and `cursor` are set, or the record is a reject (with `call_id` if it has one).
    `text` is the record's JSON as UTF-8, free of NUL characters and lone surrogates; `cleaned` says whether any were removed.
    `value` is the decoded record, None if it cannot be decoded; `decoded` caches it if it was needed already, else is `LATER`.
    """

    call_id: str | None
    cursor: datetime | None
    rejection: Rejection | None
    text: bytes
    decoded: JSON
    digest: bytes
    cleaned: bool

    @property
    def value(self) -> JSON:
        """The decoded record; decoded at each use unless `decoded` caches it."""
        return decoded(self.text) if self.decoded is LATER else self.decoded


class DriftNote(NamedTuple):
    """One departure from the documentation: where (`path`, dotted), which kind, and a sample without personal data."""

    path: str
    kind: Drift
    sample: str


class CallRow(NamedTuple):
    """One row of `public.calls` as the program writes it; `day` is computed by the server, `changed_at` is the page's instant."""

    connection: str
    call_id: str
    provider: str
    occurred_at: datetime
    status: str
    provider_status: str | None
    direction: str | None
    from_address: str | None
    to_address: str | None
    agent_id: str | None
    created_at: datetime | None
    ringing_at: datetime | None
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    is_test: bool
    end_reason: str | None
    error_reason: str | None
    latency_ms: int | None
    cost: Decimal | None
    currency: str | None
    recording_url: str | None
    transcript: str | None
    attributes: str | None
    raw: str
    detail: str | None
    first_seen_at: datetime
    last_changed_at: datetime
    stream: str
    cursor_at: datetime
    observed_at: datetime
    detail_observed_at: datetime | None
    detail_due_at: datetime | None
    content_hash: bytes
    last_run_id: int
    parent_call_id: str | None = None


class ParticipantRow(NamedTuple):
    """One row of `public.call_participants`."""

    connection: str
    call_id: str
    participant_id: str
    email: str | None
    joined_at: datetime | None
    left_at: datetime | None
    duration_seconds: int | None


class MessageRow(NamedTuple):
    """One row of `public.call_messages`; `position` counts from 1."""

    connection: str
    call_id: str
    message_id: str
    position: int
    role: str | None
    text: str | None
    message_type: str | None
    sent_at: datetime | None


class EventRow(NamedTuple):
    """One row of `public.call_events`; `position` counts from 1, `data` is the whole event as JSON text."""

    connection: str
    call_id: str
    event_id: str
    position: int
    type: str | None
    occurred_at: datetime | None
    data: str


class AgentRow(NamedTuple):
    """One agent as its provider lists it."""

    agent_id: str
    name: str | None
    status: str | None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What deriving a row needs beyond the call's records."""

    connection: str
    stream: str
    currency: str
    run_id: int


class Derived(NamedTuple):
    """What follows from one call's records: its row, its children, and drift."""

    call: CallRow
    participants: tuple[ParticipantRow, ...]
    drift: tuple[DriftNote, ...]
    messages: tuple[MessageRow, ...] = ()
    events: tuple[EventRow, ...] = ()
