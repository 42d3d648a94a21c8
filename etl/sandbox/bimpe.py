"""BimpeAI's Console API: agents, the calls of one agent, one call with its conversation."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote
from zlib import crc32

from etl.sandbox.call import JSON, Call, decode, status
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, bearer, json_reply, listing, whole
from etl.sandbox.shelf import cut, cut_newest_first
from etl.sandbox.switches import Switches

BASE = "/api/v1/console"
STATUSES = ("queued", "ringing", "answered", "ended", "busy", "failed", "cancelled")
SORTABLE = ("created_on", "ended_at", "ringing_at", "duration_seconds", "status")
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
}


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id")
    return given or f"3fa85f64-5717-4562-b3fc-{crc32(repr(request).encode()):012x}"


def _error(
    request: Request, switches: Switches, code: int, word: str, message: JSON, headers: Mapping[str, str] | None = None
) -> Reply:
    shown = _request_id(request)
    if switches.bimpe.error_shape == "guide":
        listed = message if isinstance(message, list) else []
        errors = [{"path": text.partition(": ")[0], "message": text.partition(": ")[2]} for text in listed]
        body = {"code": word, "message": "Validation failed" if listed else message} | ({"errors": errors} if errors else {})
    else:
        body = {"message": message, "error": _REASONS[code], "code": word, "statusCode": code, "request_id": shown}
    return json_reply(code, body, {"X-Request-Id": shown, **(headers or {})})


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    code, word, message = {
        Refusal.KEY_MISSING: (401, "api_key_missing", "API key is missing."),
        Refusal.KEY_INVALID: (401, "api_key_invalid", "Invalid API key."),
        Refusal.FORBIDDEN: (403, "insufficient_scope", "This API key is missing the required scope: conversations:read."),
        Refusal.TOO_MANY: (429, "rate_limited", "Too many requests."),
        Refusal.NO_ROUTE: (404, "not_found", f"Cannot {request.method} {request.path}"),
    }[why]
    headers = {"Retry-After": str(max(1, int(-(-wait // 1))))} if why is Refusal.TOO_MANY else None
    return _error(request, switches, code, word, message, headers)


def _answer(request: Request, situation: Situation) -> Reply:
    switches = situation.switches
    if switches.bimpe.forbidden:
        return _refuse(request, Refusal.FORBIDDEN, 0, switches)
    steps = [unquote(step) for step in request.path.removeprefix(BASE).strip("/").split("/")]
    if request.method != "GET" or not request.path.startswith(BASE + "/agents") or steps[0] != "agents":
        return _refuse(request, Refusal.NO_ROUTE, 0, switches)
    history, account = situation.history, situation.account
    agents = history.roster.present(history.micros, account)
    if len(steps) == 1:
        return _agents(request, situation)
    agent = next((one for one in agents if one.id == steps[1]), None)
    if agent is None:
        return _error(request, switches, 404, "not_found", "Agent not found")
    if len(steps) == 2:
        record = {**agent.record(history.micros), "knowledge_bases": [], "integrations": [], "channels": []}
        return _found(request, {"message": "Agent retrieved.", "data": record})
    if steps[2] != "calls" or len(steps) > 4:
        return _refuse(request, Refusal.NO_ROUTE, 0, switches)
    if len(steps) == 3:
        return _calls(request, situation, agent.id)
    call = None if situation.distortion.outage_empty else history.find("bimpe", steps[3], agent.id, account=account)
    if call is None:
        return _error(request, switches, 404, "not_found", "Call not found")
    body = b'{"message":"Success","data":' + call.detailed() + b"}"
    return Reply(
        status=200, body=body, headers={"Content-Type": "application/json; charset=utf-8", "X-Request-Id": _request_id(request)}
    )


def _found(request: Request, body: JSON) -> Reply:
    return json_reply(200, body, {"X-Request-Id": _request_id(request)})


def _bounds(request: Request, problems: list[str]) -> tuple[int, int]:
    page, limit = whole(request.query.get("page"), 1), whole(request.query.get("limit"), 20)
    if page is None or page < 1:
        problems.append("page: Number must be greater than or equal to 1")
    if limit is None or limit < 1:
        problems.append("limit: Number must be greater than or equal to 1")
    elif limit > 100:
        problems.append("limit: Number must be less than or equal to 100")
    if len(request.query.get("search", "")) > 255:
        problems.append("search: String must contain at most 255 character(s)")
    if len(request.query.get("sort", "")) > 64:
        problems.append("sort: String must contain at most 64 character(s)")
    return page or 1, limit or 1


def _agents(request: Request, situation: Situation) -> Reply:
    history, problems = situation.history, list[str]()
    page, limit = _bounds(request, problems)
    if problems:
        return _error(request, situation.switches, 400, "validation_error", problems)
    records = history.agents(account=situation.account) if not situation.distortion.outage_empty else []
    search = request.query.get("search", "").lower()
    records = [record for record in records if search in record["name"].lower()]
    if request.query.get("sort", "-created_at").startswith("-"):
        records.reverse()
    size = min(limit, situation.distortion.clamp or limit)
    number = 1 if situation.distortion.page_ignored else page
    meta = _meta(len(records), number, size, situation)
    return _found(request, {"message": "Agents retrieved.", "meta": meta, "data": records[(number - 1) * size : number * size]})


def _calls(request: Request, situation: Situation, agent: str) -> Reply:
    query, switches, distortion = request.query, situation.switches, situation.distortion
    problems: list[str] = []
    page, limit = _bounds(request, problems)
    if query.get("is_test_call", "true") not in ("true", "false"):
        problems.append("is_test_call: Expected boolean")
    if query.get("status", "ended") not in STATUSES:
        problems.append("status: Invalid enum value. Expected " + " | ".join(f"'{word}'" for word in STATUSES))
    sort = query.get("sort", "")
    if sort.lstrip("-") not in SORTABLE or switches.bimpe.sortable == "nothing":
        if sort and switches.bimpe.unknown_sort == "refused":
            problems.append(f"sort: Unknown field '{sort.lstrip('-')}'")
        sort = "-created_on" if switches.bimpe.order == "newest_first" else "created_on"
    if problems:
        return _error(request, switches, 400, "validation_error", problems)
    calls: list[Call] = []
    if not distortion.outage_empty:
        calls = _filtered(situation.history.shelf("bimpe", account=situation.account, agent=agent).calls, query)
    size = min(limit, distortion.clamp or limit)
    number = 1 if distortion.page_ignored else page
    start = distortion.start(query, page, size)
    stop = start + size
    if distortion.unsorted:
        shown = sorted(calls, key=lambda call: crc32(call.id.encode()))[start:stop]
    elif sort.lstrip("-") != "created_on":
        ordered = sorted(
            calls, key=lambda call: str(decode(call.listed()).get(sort.lstrip("-")) or ""), reverse=sort.startswith("-")
        )
        shown = ordered[start:stop]
    else:
        slicing = cut_newest_first if sort.startswith("-") else cut
        shown = slicing(calls, start=start, stop=stop, chance=situation.chance)
    meta = _meta(len(calls), number, size, situation)
    told = distortion.counted(len(calls), on_page=len(shown))
    meta = {key: value for key, value in meta.items() if key not in ("total_count", "page_count")} if told is None else meta
    fields = {"message": "Success", "meta": meta | ({} if told is None else {"total_count": told})}
    reply = listing("data", [call.listed() for call in shown], before=fields, after={})
    reply.headers["X-Request-Id"] = _request_id(request)
    return reply


def _filtered(calls: list[Call], query: Mapping[str, str]) -> list[Call]:
    if "is_test_call" in query:
        calls = [call for call in calls if f"is_test_call={query['is_test_call']}" in call.facets]
    if "status" in query:
        calls = [call for call in calls if status(call) == query["status"]]
    if query.get("search"):
        calls = [call for call in calls if query["search"].encode() in call.listed()]
    return calls


def _meta(total: int, page: int, limit: int, situation: Situation) -> JSON:
    pages = -(-total // limit)
    endless = situation.distortion.endless_next and not situation.distortion.outage_empty
    return {
        "total_count": total,
        "page_count": pages,
        "current_page": page,
        "limit": limit,
        "has_next_page": endless or page < pages,
        "has_previous_page": page > 1,
    }


API = Api(
    name="bimpe",
    prefix="/bimpe",
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
