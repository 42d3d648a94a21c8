"""
Vapi's calls API, as far as a form can be written without an account: the twelfth of docs/call-apis.md that the kit proves.

[sdk] the provider's own SDK, github.com/VapiAI/server-sdk-python at 72303d1 (2026-04-22): src/vapi/calls/raw_client.py,
types/call.py, call_status.py, call_ended_reason.py, artifact.py, environment.py; read 2026-11. [inferred] what is likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from etl.model import JSON, Status
from etl.provider import Ask, Detail, Failure, Field, Header, Listing, Order, PageFacts, Provider, Style, When
from etl.records.parse import identifier, instant, text
from etl.records.values import amount, callee, caller

_WAYS = {"inboundPhoneCall": "inbound", "outboundPhoneCall": "outbound"}  # web calls have none [sdk]
_TELLING = {  # of 571 reasons [sdk] those that tell more than that the call is over
    "customer-busy": Status.BUSY,
    "customer-did-not-answer": Status.NO_ANSWER,
    "voicemail": Status.VOICEMAIL,
    "manually-canceled": Status.CANCELED,
    "scheduled-call-deleted": Status.CANCELED,
    "vonage-rejected": Status.REJECTED,
}
_FAILED = ("error", "fault", "failed", "not-found", "not-valid")  # in the names of reasons [inferred]


def _params(ask: Ask) -> Mapping[str, str]:
    """
    Neither pages nor tokens: a filter by the creation leads on from the last call [sdk].

    Of two calls of one millisecond, of which a page shows only the first, the other is met in the next run, while it is in the
    lookback: then the pages end elsewhere. `createdAtLe` would show it at once, but also each page's last call twice.
    """
    return {"limit": str(ask.size)} | ({} if ask.after is None else {"createdAtLt": ask.after})


def _failure(status: int, body: JSON) -> Failure | None:
    """No error's body is in the SDK; `{statusCode, message, error}` is what its framework writes [inferred]."""
    if status < 400:
        return None
    if not isinstance(body, dict) or not isinstance(body.get("message"), str):
        return Failure()
    message = body["message"]
    absent = status == 404 and body.get("statusCode") == 404 and message.startswith("Couldn't Get Call")
    return Failure(message=message, naming="call" if absent else None)


def _words(values: JSON) -> tuple[str, ...]:
    state, reason = values
    if state == "ended" and isinstance(reason, str):
        if reason in _TELLING:
            return (reason,)
        if any(part in reason for part in _FAILED):
            return ("failed",)
    return (state,) if isinstance(state, str) else ()


def _way(value: JSON) -> str | None:
    return _WAYS.get(value) if isinstance(value, str) else None


def _from(values: JSON) -> str | None:
    kind, ours, theirs = values
    return caller((_way(kind), ours, theirs))


def _to(values: JSON) -> str | None:
    kind, ours, theirs = values
    return callee((_way(kind), ours, theirs))


_PARTIES = ("type", "phoneNumber.number", "customer.number")

PROVIDER = Provider(
    name="vapi",
    title="Vapi",
    base_url="https://api.vapi.ai",  # [sdk]
    headers=(Header(name="Authorization", setting="token", template="Bearer {value}"),),  # [sdk]
    listing=Listing(
        order=Order.NEWEST_FIRST,  # [inferred]; there is no parameter for it [sdk]
        path="/call",
        records=(),  # the body is the list [sdk]
        styles=(Style(name="createdAtLt", params=_params, by_token=True, last="createdAt"),),
        page_sizes=(100,),  # the default; a maximum is not named [sdk]
        facts=lambda fields, headers: PageFacts(),  # a bare list says nothing
    ),
    detail=Detail(path="/call/{call}", record=None, id_forms=lambda call_id: (call_id,), when=When.OPEN),  # the same record [sdk]
    lookback=timedelta(hours=24),
    call_id="id",
    cursor="createdAt",
    status=("status", "endedReason"),
    words=_words,
    statuses={  # [sdk]
        "scheduled": Status.QUEUED,
        "queued": Status.QUEUED,
        "ringing": Status.RINGING,
        "in-progress": Status.IN_PROGRESS,
        "forwarding": Status.IN_PROGRESS,
        "ended": Status.COMPLETED,
        "not-found": Status.FAILED,
        "deletion-failed": Status.COMPLETED,
        **_TELLING,
    },
    fields=(
        Field(column="direction", key="type", parse=_way),
        Field(column="from_address", key=_PARTIES, parse=_from),
        Field(column="to_address", key=_PARTIES, parse=_to),
        Field(column="agent_id", key="assistantId", parse=identifier),
        Field(column="created_at", key="createdAt", parse=instant),
        Field(column="started_at", key="startedAt", parse=instant),
        Field(column="ended_at", key="endedAt", parse=instant),
        Field(column="end_reason", key="endedReason", parse=text),
        Field(column="cost", key="cost", parse=amount),  # USD [sdk]
        Field(column="recording_url", key="artifact.recordingUrl", parse=text),
        Field(column="transcript", key="artifact.transcript", parse=text),
    ),
    attributes=("phoneCallProvider", "phoneCallProviderId", "phoneNumberId", "analysis", "campaignId"),
    organization="orgId",
    volatile=frozenset({"updatedAt"}),  # [inferred]
    ignored=frozenset(
        {"costs", "costBreakdown", "endedMessage", "destination", "messages", "monitor", "compliance", "name", "transport"}
        | {"assistant", "assistantOverrides", "customerId", "customer.name", "phoneNumber.name", "subscriptionLimits"}
        | {
            f"artifact.{key}"
            for key in ("messages", "messagesOpenAIFormatted", "stereoRecordingUrl", "recording", "logUrl", "pcapUrl")
        }
    ),
    failure=_failure,
    links={"docs": "https://docs.vapi.ai/api-reference/calls/list", "token": "Vapi's dashboard (the private key)"},
)
