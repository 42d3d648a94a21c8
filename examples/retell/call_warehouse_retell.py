"""
Retell AI's calls API: its facts and status words, each with its source, read 2026-11-25; none of it against a live account.

[oas] the provider's OpenAPI "Retell SDK" 3.0.0, as kept at github.com/api-evangelist/retell-ai. [sdk] its official SDK,
github.com/RetellAI/retell-python-sdk 5.60.0. [disc] docs.retellai.com/reliability/debug-call-disconnect. [url]
docs.retellai.com/accounts/signed-secure-url. [live] what was seen on a real account. [inferred] what a careful client assumes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from etl.model import JSON, Drift, Status
from etl.provider import Ask, Children, Detail, Failure, Field, Header, Limit, Listing, Order, PageFacts, Provider, Style, When
from etl.records.parse import Unfit, address, count, decimal_cents, direction, identifier, text, whole, yes
from etl.records.values import epoch_millis, milliseconds

_TELLING = {  # these reasons tell the status, whatever word stands beside them [disc]
    "voicemail_reached": Status.VOICEMAIL,
    "machine_detected": Status.VOICEMAIL,  # older pages [disc]
    "dial_busy": Status.BUSY,
    "dial_no_answer": Status.NO_ANSWER,
    "user_declined": Status.REJECTED,
    "marked_as_spam": Status.REJECTED,
    "manual_stopped": Status.CANCELED,  # [oas]
    "registered_call_timeout": Status.CANCELED,  # nobody joined [oas]
    "error_user_not_joined": Status.CANCELED,
}
_MILLI = timedelta(milliseconds=1)
_ATTRIBUTES = ("call_type", "agent_version", "agent_tag", "transfer_destination", "call_analysis", "metadata", "duration_ms")
_ATTRIBUTES += ("custom_attributes", "collected_dynamic_variables", "data_storage_setting", "telephony_identifier")
_ADDRESSES = ("recording_url", "recording_multi_channel_url", "scrubbed_recording_url", "scrubbed_recording_multi_channel_url")
_ADDRESSES += ("public_log_url", "knowledge_base_retrieved_contents_url")


def _asking(*, with_total: bool) -> Callable[[Ask], JSON]:
    def body(ask: Ask) -> JSON:
        """Ask oldest first [oas]; whether `bt` includes its bounds is said nowhere, so it is asked a millisecond wider."""
        asked = {"sort_order": "ascending", "limit": ask.size}
        if with_total:
            asked["include_total"] = True  # [sdk], and not in the OpenAPI of the same week
        if ask.after is not None:
            asked["pagination_key"] = ask.after
        if ask.since is not None and ask.until is not None:
            bounds = [_millis(ask.since - _MILLI), _millis(ask.until)]
            asked["filter_criteria"] = {"start_timestamp": {"type": "range", "op": "bt", "value": bounds}}
        return asked

    return body


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _facts(fields: Mapping[str, JSON], headers: Mapping[str, str]) -> PageFacts:
    """`{"items": […], "pagination_key", "has_more", "total"?}`; each may be missing [sdk]."""
    more, key = yes(fields.get("has_more")), fields.get("pagination_key")
    after = key if isinstance(key, str) and key and more is not False else None
    return PageFacts(total=count(fields.get("total")), more=more, after=after)


def _failure(status: int, body: JSON) -> Failure | None:
    """`{"status": "error", "message"}` [oas]; an unknown call is a 422 [oas] or a 404 [live], and only the message says so."""
    if status < 400:
        return None
    message = body.get("message") if isinstance(body, dict) and body.get("status") == "error" else None
    if not isinstance(message, str):
        return Failure()
    absent = status in (404, 422) and message.startswith("Cannot find requested asset")
    return Failure(message=message, naming="call" if absent else None, status=404 if absent else None)


def _words(values: JSON) -> tuple[str, ...]:
    """The reason tells more than the status, if it is one of those that do."""
    return tuple(word for word in reversed(values) if isinstance(word, str) and (word in _TELLING or word == values[0]))


def _error(values: JSON) -> str | None:
    """A reason is an error if it is called one, or ended a call that is one [disc]."""
    state, reason = values
    return text(reason) if state == "error" or (isinstance(reason, str) and reason.startswith("error_")) else None


def _rounded(value: JSON) -> int | None:
    """Milliseconds with a fraction, such as 1170.5."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(Drift.WRONG_TYPE)
    return whole(round(value)) if abs(value) < 1e9 else None


PROVIDER = Provider(
    name="retell",
    title="Retell AI",
    base_url="https://api.retellai.com",  # [oas]
    headers=(Header(name="Authorization", setting="token", template="Bearer {value}"),),  # [oas]
    listing=Listing(
        order=Order.ASCENDING,  # by start_timestamp, which is what is filtered by too [oas]
        path="/v3/list-calls",  # v2 is deprecated [oas]
        records=("items",),
        styles=(
            Style(name="with_total", body=_asking(with_total=True), by_token=True),
            Style(name="plain", body=_asking(with_total=False), by_token=True),
        ),
        page_sizes=(1000, 50),  # maximum and default [oas]
        facts=_facts,
    ),
    detail=Detail(  # the list has no transcript [oas]; who never spoke has none
        path="/v2/get-call/{call}", record=None, id_forms=lambda call_id: (call_id,), when=When.LATE
    ),
    limit=Limit(requests=5, per=timedelta(seconds=1)),  # nothing is published [inferred]
    lookback=timedelta(hours=24),  # analysis, cost and recording come after the end [oas]
    call_id="call_id",
    cursor="start_timestamp",
    read_cursor=epoch_millis,
    status=("call_status", "disconnection_reason"),
    words=_words,
    statuses={
        "registered": Status.QUEUED,  # [oas], as the four below
        "ongoing": Status.IN_PROGRESS,
        "ended": Status.COMPLETED,
        "not_connected": Status.FAILED,
        "error": Status.FAILED,
        **_TELLING,
    },
    fields=(  # [oas] [sdk]
        Field(column="direction", key="direction", parse=direction),
        Field(column="from_address", key="from_number", parse=address),
        Field(column="to_address", key="to_number", parse=address),
        Field(column="agent_id", key="agent_id", parse=identifier),
        Field(column="started_at", key="start_timestamp", parse=epoch_millis),
        Field(column="ended_at", key="end_timestamp", parse=epoch_millis),
        Field(column="duration_seconds", key="duration_ms", parse=milliseconds),
        Field(column="end_reason", key="disconnection_reason", parse=text),
        Field(column="error_reason", key=("call_status", "disconnection_reason"), parse=_error),
        Field(column="latency_ms", key="latency.e2e.p50", parse=_rounded),
        Field(column="cost", key="call_cost.combined_cost", parse=decimal_cents),  # cents
        Field(column="recording_url", key="recording_url", parse=text),
        Field(column="recording_url", key="scrubbed_recording_url", parse=text),
        Field(column="transcript", key="transcript", parse=text),
    ),
    messages=Children(
        key="transcript_object",
        id_key="id",  # there is none: the position
        fields=(Field(column="role", key="role", parse=text), Field(column="text", key="content", parse=text)),
    ),
    late_parts=("transcript",),
    attributes=_ATTRIBUTES,
    volatile=frozenset(_ADDRESSES),  # signed anew at each request, where that is switched on [url]
    never_stored=frozenset({"access_token"}),  # joins a web call [oas]
    ignored=frozenset(
        {
            "agent_name",
            "transfer_end_timestamp",
            "transcript_with_tool_calls",
            "scrubbed_transcript_with_tool_calls",
            "tool_calls",
        }
        | {
            "llm_token_usage",
            "retell_llm_dynamic_variables",
            "custom_sip_headers",
            "opt_in_signed_url",
            "transcript_object[].words",
        }
        | {f"latency.{part}" for part in ("asr", "llm", "llm_websocket_network_rtt", "tts", "knowledge_base", "s2s")}
        | {f"latency.e2e.{part}" for part in ("p90", "p95", "p99", "max", "min", "num", "values")}
        | {f"call_cost.{part}" for part in ("product_costs", "total_duration_seconds", "total_duration_unit_price")}
    ),
    failure=_failure,
    links={"docs": "https://docs.retellai.com/api-references/list-calls", "token": "Retell's dashboard, API keys"},
)
