"""Salpre's gateway API: a list of recent calls without a total, and one call by its id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote
from zlib import crc32

from etl.sandbox.call import Call, decode, encode
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, json_reply, listing, whole
from etl.sandbox.instants import HOUR
from etl.sandbox.shelf import cut_newest_first
from etl.sandbox.switches import Switches

BASE = "/api/gateway/v1"
_LISTED_ID = re.compile(r"c(\d+)")


def _credential(headers: Mapping[str, str]) -> str | None:
    return headers.get("account-secret-key")


def _error(status: int, message: str, switches: Switches, headers: Mapping[str, str] | None = None) -> Reply:
    own = switches.salpre.error_status == "own"
    return json_reply(status if own else 200, {"status": "error", "message": message}, headers)


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    """Only the text of the first two is documented; a limit (headers and body assumed) exists only if one is set."""
    status, message = {
        Refusal.KEY_MISSING: (401, "Unauthorized. Missing or invalid account-secret-key"),
        Refusal.KEY_INVALID: (401, "Unauthorized. Missing or invalid account-secret-key"),
        Refusal.FORBIDDEN: (403, "Forbidden"),
        Refusal.TOO_MANY: (429, "Too Many Attempts."),
        Refusal.NO_ROUTE: (404, "Route not found"),
    }[why]
    headers = {"Retry-After": str(max(1, int(-(-wait // 1))))} if why is Refusal.TOO_MANY else None
    return _error(status, message, switches, headers)


def _answer(request: Request, situation: Situation) -> Reply:
    path = request.path.removeprefix(BASE)
    if request.method == "GET" and path == "/call/list":
        return _list(request, situation)
    if request.method == "GET" and path.startswith("/call/") and path.count("/") == 2:
        return _detail(unquote(path.removeprefix("/call/")), situation)
    return _refuse(request, Refusal.NO_ROUTE, 0, situation.switches)


def _list(request: Request, situation: Situation) -> Reply:
    switches, distortion, history = situation.switches.salpre, situation.distortion, situation.history
    size, page = whole(request.query.get("per_page"), switches.default), whole(request.query.get("page"), 1)
    if size is None or not 1 <= size <= switches.maximum:
        return _error(422, "Invalid per_page value", situation.switches)
    if switches.page == "refused" and page != 1:
        return _error(422, "Invalid page value", situation.switches)
    size = min(size, distortion.clamp or size)
    number = 1 if switches.page == "ignored" or distortion.page_ignored else max(page or 1, 1)
    calls: list[Call] = []
    if not distortion.outage_empty:
        shelf = history.shelf("salpre", account=situation.account)
        if switches.recent_hours is None:
            calls = shelf.calls
        else:
            calls = shelf.window(history.micros - int(switches.recent_hours * HOUR), history.micros + 1)
        if switches.recent_calls is not None:
            calls = calls[max(len(calls) - switches.recent_calls, 0) :]
    start = 0 if switches.page == "ignored" else distortion.start(request.query, number, size)
    stop = start + size
    if distortion.unsorted:
        shown = sorted(calls, key=lambda call: crc32(call.id.encode()))[start:stop]
    else:
        shown = cut_newest_first(calls, start=start, stop=stop, chance=situation.chance)
    more = number * size < len(calls) or (distortion.endless_next and not distortion.outage_empty)
    meta = {"per_page": size, "page": number, "has_next": more}
    return listing("data", [call.listed() for call in shown], before={"status": "success"}, after={"meta": meta})


def _detail(asked: str, situation: Situation) -> Reply:
    """The list says `c123456`, the detail's page an integer; the answer's own `call_id` is those digits as a string."""
    form = situation.switches.salpre.detail_id
    found: Call | None = None
    if not situation.distortion.outage_empty:
        history, account = situation.history, situation.account
        if form in ("as_listed", "both"):
            found = history.find("salpre", asked, account=account)
        if found is None and form in ("integer", "both") and asked.isdigit():
            found = history.find("salpre", "c" + asked, account=account) or history.find("salpre", asked, account=account)
    if found is None:
        return _error(404, "Call not found. Please check the call ID.", situation.switches)
    record = decode(found.detailed())
    listed = _LISTED_ID.fullmatch(str(record.get("call_id"))) if isinstance(record, dict) else None
    if listed is not None:
        record["call_id"] = listed[1]
    return Reply(
        status=200,
        body=b'{"status":"success","data":' + encode(record) + b"}",
        headers={"Content-Type": "application/json; charset=utf-8"},
    )


API = Api(
    name="salpre",
    prefix="/salpre",
    base=BASE,
    credential=_credential,
    refuse=_refuse,
    answer=_answer,
    rate_headers=lambda limit, remaining, reset: {},
)
