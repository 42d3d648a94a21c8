"""Aircall's Public API v1: one list of calls, filtered and sorted by their creation, at most 10,000 a query; one call."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlencode
from zlib import crc32

from etl.sandbox.call import Call
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, basic, json_reply, listing, whole
from etl.sandbox.instants import SECOND
from etl.sandbox.shelf import cut
from etl.sandbox.switches import Switches

BASE = "/v1"
API_IDS = {"main": "sandbox-id-of-the-main-company", "other": "sandbox-id-of-the-other-company"}


def _credential(headers: Mapping[str, str]) -> str | None:
    """Read the token of a pair whose id is known; of another one both parts, which no account has."""
    return basic(headers, users=API_IDS.values())


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    """What the edge answers, as it was measured: 403 for a wrong pair, 401 without any."""
    status, text = {
        Refusal.KEY_MISSING: (401, "Unauthorized"),
        Refusal.KEY_INVALID: (403, "Forbidden"),
        Refusal.FORBIDDEN: (403, "Forbidden"),
        Refusal.TOO_MANY: (429, "Too Many Requests"),
        Refusal.NO_ROUTE: (404, "Not Found"),
    }[why]
    return json_reply(status, {"message": text}, {"Retry-After": str(int(wait) + 1)} if why is Refusal.TOO_MANY else None)


def _error(status: int, error: str, troubleshoot: str) -> Reply:
    return json_reply(status, {"error": error, "troubleshoot": troubleshoot})


def _answer(request: Request, situation: Situation) -> Reply:
    path = request.path.removeprefix(BASE)
    if request.method != "GET" or not request.path.startswith(BASE):
        return _refuse(request, Refusal.NO_ROUTE, 0, situation.switches)
    if path == "/ping":
        return json_reply(200, {"ping": "pong"})
    if path == "/calls":
        return _today(_list(request, situation), situation)
    if not path.startswith("/calls/") or path.count("/") != 2:
        return _refuse(request, Refusal.NO_ROUTE, 0, situation.switches)
    asked = unquote(path.removeprefix("/calls/"))
    call = None if situation.distortion.outage_empty else situation.history.find("aircall", asked, account=situation.account)
    if call is None:
        return _error(404, "Not Found", "No call with this id in your company.")
    body = b'{"call":' + call.detailed() + b"}"
    return _today(Reply(status=200, body=body, headers={"Content-Type": "application/json; charset=utf-8"}), situation)


def _list(request: Request, situation: Situation) -> Reply:
    query, distortion, switches = request.query, situation.distortion, situation.switches.aircall
    since, until = whole(query.get("from"), 0), whole(query.get("to"), situation.history.micros // SECOND)
    page, size = whole(query.get("page"), 1), whole(query.get("per_page"), 20)
    order = query.get("order", "asc")
    if since is None or until is None or page is None or page < 1 or size is None or size < 1 or order not in ("asc", "desc"):
        return _error(400, "Bad Request", "A parameter is malformed.")
    size = min(size, switches.maximum, distortion.clamp or size)
    number = 1 if distortion.page_ignored else page
    calls: list[Call] = []
    if not distortion.outage_empty:
        # Both bounds are inclusive, in whole seconds.
        calls = situation.history.shelf("aircall", account=situation.account).window(since * SECOND, (until + 1) * SECOND)
    if order == "desc":
        calls = calls[::-1]
    total, start = len(calls), distortion.start(query, page, size)
    calls = calls[: switches.most_calls]  # pages beyond are not served, and no error says so
    if distortion.unsorted:
        calls = sorted(calls, key=lambda call: crc32(call.id.encode()))
        shown = calls[start : start + size]
    else:
        shown = cut(calls, start=start, stop=start + size, chance=situation.chance)
    more = number * size < len(calls) or (distortion.endless_next and not distortion.outage_empty) or distortion.foreign_next
    meta = {
        "count": len(shown),
        "total": distortion.counted(total, on_page=len(shown)),
        "current_page": number,
        "per_page": size,
        "next_page_link": _link(request, page + 1, distortion.foreign_next) if more else None,
        "previous_page_link": _link(request, page - 1, None) if page > 1 else None,
    }
    if meta["total"] is None:
        del meta["total"]
    return listing("calls", [call.listed() for call in shown], before={"meta": meta}, after={})


def _link(request: Request, page: int, foreign: str | None) -> str:
    kept = {key: value for key, value in request.query.items() if not key.startswith("fetch_")}
    query = urlencode({**kept, "page": str(page)})
    return f"{foreign or request.origin + request.prefix}{BASE}/calls?{query}"


def _today(reply: Reply, situation: Situation) -> Reply:
    """Let people come and go, if they are to: how they are now stands in the record of every call they ever took."""
    if situation.switches.aircall.people == "come_and_go" and situation.chance.random() < 0.5:
        reply.body = reply.body.replace(b'"available":true', b'"available":false')
    return reply


API = Api(
    name="aircall",
    prefix="/aircall",
    base=BASE,
    credential=_credential,
    refuse=_refuse,
    answer=_answer,
    rate_headers=lambda limit, remaining, reset: {
        "X-AircallApi-Limit": str(limit),
        "X-AircallApi-Remaining": str(remaining),
        "X-AircallApi-Reset": str(reset),
    },
)
