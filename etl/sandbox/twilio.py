"""Twilio's API 2010-04-01: one list of calls, newest first, filtered by whole days, paged by tokens, without totals; one call."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote, urlencode
from zlib import crc32

from etl.sandbox.call import Call, status
from etl.sandbox.exchange import Api, Refusal, Reply, Request, Situation, basic, json_reply, listing, whole
from etl.sandbox.instants import DAY, count
from etl.sandbox.lives.twilio import ACCOUNT_SIDS
from etl.sandbox.switches import Switches

BASE = "/2010-04-01"
KEY_SIDS = {"main": "SK000000000000000000000000000000a1", "other": "SK000000000000000000000000000000b2"}
_USERS = {*ACCOUNT_SIDS.values(), *KEY_SIDS.values()}
_OPEN = ("queued", "initiated", "ringing", "in-progress")
_MORE = "https://www.twilio.com/docs/errors/"


def _credential(headers: Mapping[str, str]) -> str | None:
    """Read the token of an account or the secret of its key, which are the same here; of an unknown user what no account has."""
    return basic(headers, users=_USERS)


def _error(number: int, code: int, message: str) -> Reply:
    return json_reply(number, {"code": code, "message": message, "more_info": f"{_MORE}{code}", "status": number})


def _absent(request: Request) -> Reply:
    return _error(404, 20404, f"The requested resource {request.path} was not found")


def _refuse(request: Request, why: Refusal, wait: float, switches: Switches) -> Reply:
    if why is Refusal.NO_ROUTE:
        return _absent(request)
    number, code, message = {
        Refusal.KEY_MISSING: (401, 20003, "Authenticate"),
        Refusal.KEY_INVALID: (401, 20003, "Authenticate"),
        Refusal.FORBIDDEN: (403, 70051, "Forbidden"),
        Refusal.TOO_MANY: (429, 20429, "Too Many Requests"),
    }[why]
    return _error(number, code, message)


def _answer(request: Request, situation: Situation) -> Reply:
    parts = request.path.removeprefix(BASE).split("/")
    known = request.method in ("GET", "DELETE") and request.path.startswith(BASE) and len(parts) > 2 and parts[1] == "Accounts"
    if not known or parts[2] not in ACCOUNT_SIDS.values():
        return _absent(request)
    if parts[3:] == ["Calls.json"] and request.method == "GET":
        return _list(request, situation)
    if len(parts) != 5 or parts[3] != "Calls" or not parts[4].endswith(".json"):
        return _absent(request)
    asked = unquote(parts[4].removesuffix(".json"))
    call = None if situation.distortion.outage_empty else situation.history.find("twilio", asked, account=situation.account)
    if call is None:
        return _absent(request)
    if request.method == "DELETE":
        if status(call) in _OPEN:
            return _error(400, 20009, "The call has not ended yet.")  # the status is assumed
        situation.history.delete("twilio", asked, account=situation.account)
        return Reply(status=204)
    return Reply(status=200, body=call.detailed(), headers={"Content-Type": "application/json; charset=utf-8"})


def _list(request: Request, situation: Situation) -> Reply:
    query, distortion, switches = request.query, situation.distortion, situation.switches.twilio
    size, page = whole(query.get("PageSize"), 50), whole(query.get("Page"), 0)
    if size is None or page is None or not 1 <= size <= switches.maximum or page < 0:
        return _error(400, 20007, "Page size is not valid.")
    size = min(size, distortion.clamp or size)
    token = None if distortion.page_ignored else query.get("PageToken")
    calls: list[Call] = []
    if not distortion.outage_empty:
        since, until = (0, situation.history.micros + 1) if switches.filters == "ignored" else _window(query, situation)
        calls = situation.history.shelf("twilio", account=situation.account).window(since, until)
    if distortion.unsorted:
        calls = sorted(calls, key=lambda call: crc32(call.id.encode()))
        below = calls[: len(calls) - page * size] if token is not None else calls
    else:
        below = calls if token is None else calls[: bisect_left(calls, _place_of(token), key=_place)]
    shown = below[::-1][:size]
    following = None
    if len(below) > size or (distortion.endless_next and not distortion.outage_empty) or distortion.foreign_next:
        following = _token(shown[-1]) if shown else token
    uri = _address(request, None, page, size, token)
    before = {
        "first_page_uri": _address(request, None, 0, size, None),
        "next_page_uri": None if following is None else _address(request, distortion.foreign_next, page + 1, size, following),
        "previous_page_uri": None,
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": page * size + max(len(shown) - 1, 0),  # of no call as of one
        "uri": uri,
    }
    return listing("calls", [call.listed() for call in shown], before=before, after={})


def _window(query: Mapping[str, str], situation: Situation) -> tuple[int, int]:
    """Read the bounds, of which only the day in UTC counts; other names are passed over without a word."""
    since, until = 0, situation.history.micros + 1
    on, after, before = (_day(query.get(name)) for name in ("StartTime", "StartTime>", "StartTime<"))
    if on is not None:
        since, until = on, on + DAY
    if after is not None:
        since = max(since, after)
    if before is not None:
        until = min(until, before + DAY if situation.switches.twilio.until == "inclusive" else before)
    return since, until


def _day(text: str | None) -> int | None:
    try:
        return None if text is None else count(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC))
    except ValueError:
        return None


def _place(call: Call) -> tuple[int, int]:
    return call.cursor, call.order


def _token(call: Call) -> str:
    return f"PA{call.cursor:016x}{call.order:016x}"


def _place_of(token: str) -> tuple[int, int]:
    try:
        return int(token[2:18], 16), int(token[18:34], 16)
    except ValueError:
        return 0, 0


def _address(request: Request, foreign: str | None, page: int, size: int, token: str | None) -> str:
    """Write an address below the host, as the server does, with the filters in it."""
    kept = {key: value for key, value in request.query.items() if key not in ("PageSize", "Page", "PageToken")}
    query = urlencode({**kept, "PageSize": size, "Page": page, **({} if token is None else {"PageToken": token})})
    return f"{foreign or ''}{request.prefix}{request.path}?{query}"


API = Api(
    name="twilio",
    prefix="/twilio",
    base=BASE,
    credential=_credential,
    refuse=_refuse,
    answer=_answer,
    rate_headers=lambda limit, remaining, reset: {},  # requests at the same time are limited, and no number is told
)
