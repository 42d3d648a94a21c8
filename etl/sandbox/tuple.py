"""Tuple's Usage API: one list of completed calls, filtered and sorted by `ended_at`, paged by number and `Link`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode
from zlib import crc32

from etl.sandbox.call import Call
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, bearer, json_reply, whole
from etl.sandbox.instants import DAY, read
from etl.sandbox.shelf import cut
from etl.sandbox.switches import Switches, TupleSwitches

PATH = "/api/v2/call_usage"


def _credential(headers: Mapping[str, str]) -> str | None:
    return bearer(headers)


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    """Error bodies are not documented; a plain JSON object is assumed, and no header on 429."""
    status, text = {
        Refusal.KEY_MISSING: (401, "Unauthorized"),
        Refusal.KEY_INVALID: (401, "Unauthorized"),
        Refusal.FORBIDDEN: (403, "Forbidden"),
        Refusal.TOO_MANY: (429, "Rate limit exceeded"),
        Refusal.NO_ROUTE: (404, "Not Found"),
    }[why]
    return json_reply(status, {"error": text})


def _malformed(name: str) -> Reply:
    return json_reply(422, {"error": f"Malformed {name} parameter"})


def _answer(request: Request, situation: Situation) -> Reply:
    if request.path != PATH or request.method != "GET":
        return _refuse(request, Refusal.NO_ROUTE, 0, situation.switches)
    history, query, distortion = situation.history, request.query, situation.distortion
    switches = situation.switches.tuple
    since = read(query.get("since"))
    until = read(query.get("until")) if "until" in query else history.micros
    page, size = whole(query.get("page"), 1), whole(query.get("per_page"), 100)
    if since is None:
        return _malformed("since")
    if until is None:
        return _malformed("until")
    if page is None or page < 1:
        return _malformed("page")
    if size is None or size < 1 or (size > switches.maximum and switches.over_maximum == "refused"):
        return _malformed("per_page")
    size = min(size, switches.maximum, distortion.clamp or size)
    number = 1 if distortion.page_ignored else page
    calls: list[Call] = []
    if not distortion.outage_empty:
        first, last = _answered(since, until, switches)
        calls = history.shelf("tuple", account=situation.account).window(first, last)[: switches.most_calls]
    total, start = len(calls), distortion.start(query, page, size)
    if distortion.unsorted:
        calls.sort(key=lambda call: crc32(call.id.encode()))
        shown = calls[start : start + size]
    else:
        shown = cut(calls, start=start, stop=start + size, chance=situation.chance)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    told = distortion.counted(total, on_page=len(shown))
    if told is not None:
        headers["X-Total-Count"] = str(told)
    links = []
    if page > 1:
        links.append(_link(request, page - 1, "prev", None))
    if number * size < total or (distortion.endless_next and not distortion.outage_empty) or distortion.foreign_next:
        links.append(_link(request, page + 1, "next", distortion.foreign_next))
    if links:
        headers["Link"] = ", ".join(links)
    return Reply(status=200, body=b"[" + b",".join([call.listed() for call in shown]) + b"]", headers=headers)


def _answered(since: int, until: int, switches: TupleSwitches) -> tuple[int, int]:
    """Return the part of a window that is answered."""
    if switches.first_days is not None:
        until = min(until, since + int(switches.first_days * DAY))
    if switches.newest_days is not None:
        since = max(since, until - int(switches.newest_days * DAY))
    return since, until


def _link(request: Request, page: int, relation: str, foreign: str | None) -> str:
    query = urlencode({**request.query, "page": str(page)})
    return f'<{foreign or request.origin}{"" if foreign else request.prefix}{PATH}?{query}>; rel="{relation}"'


API = Api(
    name="tuple",
    prefix="/tuple",
    base="",
    credential=_credential,
    refuse=_refuse,
    answer=_answer,
    rate_headers=lambda limit, remaining, reset: {},
)
