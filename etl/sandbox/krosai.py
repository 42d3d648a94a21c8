"""KrosAI's calls API in its two dialects, reference and guide: list, stats, trends, one call, deletion."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote
from zlib import crc32

from etl.sandbox.call import JSON, Call, decode, encode, status
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, bearer, json_reply, listing, whole
from etl.sandbox.history import History
from etl.sandbox.instants import DAY, read, to_day
from etl.sandbox.lives.krosai import ORGANIZATIONS
from etl.sandbox.shelf import cut_newest_first
from etl.sandbox.switches import Switches

BASE = "/v1"
STATUSES = ("queued", "initiated", "ringing", "answered", "in_progress", "completed", "failed", "busy", "no_answer")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RECORDING = re.compile(rb'("recording_url":"[^"?]+\.mp3)"')
_GUIDE_LACKS = ("latency_ms", "hangup_cause", "organization_id", "cost")


def _error(http: int, code: str, text: str, headers: Mapping[str, str] | None = None, **more: JSON) -> Reply:
    return json_reply(http, {"error": text, "code": code, **more}, headers)


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    if why is Refusal.TOO_MANY:
        seconds = max(round(wait + 0.05, 1), 0.1)
        return _error(429, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded", {"Retry-After": str(seconds)}, retry_after=seconds)
    return _error(
        *{
            Refusal.KEY_MISSING: (401, "MISSING_API_KEY", "API key is required"),
            Refusal.KEY_INVALID: (401, "INVALID_API_KEY", "Invalid API key"),
            Refusal.FORBIDDEN: (403, "INSUFFICIENT_SCOPE", "This API key does not have the required scope: calls:read"),
            Refusal.NO_ROUTE: (404, "ROUTE_NOT_FOUND", "Route not found"),
        }[why]
    )


def _answer(request: Request, situation: Situation) -> Reply:
    switches = situation.switches.krosai
    if switches.forbidden:
        return _refuse(request, Refusal.FORBIDDEN, 0, situation.switches)
    account = _organization(request, situation)
    if account is None:
        return _error(403, "FORBIDDEN", "You do not have access to this organization")
    path = request.path.removeprefix(BASE)
    if path == "/calls" and request.method == "GET":
        action = request.query.get("action")
        if action == "stats":
            return _stats(request, situation, account)
        if action == "trends":
            return _trends(request, situation, account)
        if action is not None:
            return _invalid("action")
        return _presigned(_list(request, situation, account), situation)
    if path == "/calls/stats" and request.method == "GET" and switches.dialect == "guide":
        return _stats(request, situation, account)
    if not path.startswith("/calls/") or path.count("/") != 2 or request.method not in ("GET", "DELETE"):
        return _refuse(request, Refusal.NO_ROUTE, 0, situation.switches)
    asked = unquote(path.removeprefix("/calls/"))
    call = None if situation.distortion.outage_empty else situation.history.find("krosai", asked, account=account)
    if call is None:
        return _error(404, "NOT_FOUND", "Call not found")
    if request.method == "DELETE":
        situation.history.delete("krosai", asked, account=account)
        return Reply(status=204)
    record = decode(call.detailed())
    body = encode(_guide(record) if switches.dialect == "guide" else record)
    return _presigned(Reply(status=200, body=body, headers={"Content-Type": "application/json; charset=utf-8"}), situation)


def _organization(request: Request, situation: Situation) -> str | None:
    """The key opens both organisations; without the header the user's first one is used. A foreign key opens its own only."""
    asked = request.headers.get("x-organization-id")
    if situation.account == "other":
        return "other"
    if asked is None:
        return situation.switches.krosai.first_organization
    return next((account for account, organization in ORGANIZATIONS.items() if organization == asked.lower()), None)


def _invalid(name: str) -> Reply:
    return _error(400, "VALIDATION_ERROR", f"Invalid {name}", details={"field": name})


def _filtered(request: Request, situation: Situation, account: str) -> list[Call] | Reply:
    query = request.query
    if query.get("status", "completed") not in STATUSES:
        return _invalid("status")
    if query.get("direction", "inbound") not in ("inbound", "outbound"):
        return _invalid("direction")
    if not _UUID.fullmatch(query.get("phone_number_id", ORGANIZATIONS["main"])):
        return _invalid("phone_number_id")
    if situation.distortion.outage_empty:
        return []
    calls = situation.history.shelf("krosai", account=account).calls
    for name in ("direction", "phone_number_id"):
        if name in query:
            calls = [call for call in calls if f"{name}={query[name]}" in call.facets]
    if "status" in query:
        calls = [call for call in calls if status(call) == query["status"]]
    return calls


def _days(request: Request, situation: Situation) -> tuple[int, int]:
    """`start_date` and `end_date` are days in UTC, both included (assumed); default: the last 30 days."""
    today = situation.history.micros // DAY * DAY
    first, last = read(request.query.get("start_date")), read(request.query.get("end_date"))
    return today - 29 * DAY if first is None else first, today + DAY if last is None else last + DAY


def _list(request: Request, situation: Situation, account: str) -> Reply:
    switches, distortion = situation.switches.krosai, situation.distortion
    guide = switches.dialect == "guide"
    limit = whole(request.query.get("limit"), 50 if guide else 20)
    page, offset = whole(request.query.get("page"), 1), whole(request.query.get("offset"), 0)
    if limit is None or not 1 <= limit <= 100:
        return _invalid("limit")
    if not guide and (page is None or page < 1):
        return _invalid("page")
    if guide and (offset is None or offset < 0):
        return _invalid("offset")
    calls = _filtered(request, situation, account)
    if isinstance(calls, Reply):
        return calls
    if switches.list_dates == "honoured" and ("start_date" in request.query or "end_date" in request.query):
        first, last = _days(request, situation)
        calls = [call for call in calls if (first if "start_date" in request.query else 0) <= call.cursor < last]
    limit = min(limit, distortion.clamp or limit)
    by_offset = 0 if distortion.page_ignored else offset or 0
    start = by_offset if guide else distortion.start(request.query, page or 1, limit)
    if distortion.unsorted:
        shown = sorted(calls, key=lambda call: crc32(call.id.encode()))[start : start + limit]
    else:
        shown = cut_newest_first(calls, start=start, stop=start + limit, chance=situation.chance)
    total = len(calls)
    if distortion.endless_next and not distortion.outage_empty:
        total = max(total, start + 2 * limit)
    told = distortion.counted(total, on_page=len(shown))
    counted: dict[str, JSON] = {} if told is None else {"total": told}
    if guide:
        return listing("calls", [_guided(call) for call in shown], before={}, after={**counted, "limit": limit, "offset": start})
    fields = {**counted, "limit": limit}
    if distortion.offset_only and "offset" in request.query:
        fields["offset"] = start
    else:
        asked = page if distortion.offset_only or distortion.repeated else start // limit + 1
        fields |= {"page": asked} | ({} if told is None else {"total_pages": -(-total // limit)})
    return listing("data", [call.listed() for call in shown], before={}, after=fields)


def _guided(call: Call) -> bytes:
    record = decode(call.detailed())
    return encode(_guide(record)) if isinstance(record, dict) else call.listed()


def _guide(record: JSON) -> JSON:
    """Return a record as the guide shows it: whole cents, the transcript in the list, no latency, cause or organisation."""
    shown = {key: value for key, value in record.items() if key not in _GUIDE_LACKS}
    if isinstance(record.get("cost"), (int, float)):
        shown["cost_cents"] = round(record["cost"])
    return shown


def shown_in_list(history: History, record: JSON, switches: Switches) -> JSON:
    """Return a list record of the main account in the dialect that is served."""
    if switches.krosai.dialect == "reference" or not isinstance(record, dict):
        return record
    call = history.find("krosai", str(record.get("id")))
    return _guide(record if call is None else decode(call.detailed()))


def _stats(request: Request, situation: Situation, account: str) -> Reply:
    """The shape is not documented; assumed: `{"data": {"total": 3, "by_status": {"completed": 3}}}` over all calls."""
    calls = _filtered(request, situation, account)
    if isinstance(calls, Reply):
        return calls
    words = Counter(status(call) or "unknown" for call in calls)
    return json_reply(200, {"data": {"total": len(calls), "by_status": dict(sorted(words.items()))}})


def _trends(request: Request, situation: Situation, account: str) -> Reply:
    """The shape is not documented; assumed: `{"data": [{"date": "2026-03-01", "count": 3}]}`, UTC days with calls, ascending."""
    calls = _filtered(request, situation, account)
    if isinstance(calls, Reply):
        return calls
    first, last = _days(request, situation)
    days = Counter(to_day(call.cursor) for call in calls if first <= call.cursor < last)
    return json_reply(200, {"data": [{"date": day, "count": days[day]} for day in sorted(days)]})


def _presigned(reply: Reply, situation: Situation) -> Reply:
    """Give every recording's address a new signature, as a store with expiring addresses does."""
    signature = f"?X-Amz-Expires=3600&X-Amz-Signature={situation.chance.getrandbits(64):016x}".encode()
    reply.body = _RECORDING.sub(rb"\1" + signature + b'"', reply.body)
    return reply


API = Api(
    name="krosai",
    prefix="/krosai",
    base=BASE,
    credential=lambda headers: bearer(headers, "x-api-key"),
    refuse=_refuse,
    answer=_answer,
    rate_headers=lambda limit, remaining, reset: {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    },
)
