"""How a fault spoils a response: which bytes are sent, after what delay, and whether the connection is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from etl.sandbox.exchange import Reply, json_reply
from etl.sandbox.faults import Fault
from etl.sandbox.instants import SECOND, to_http_date

_PAGE = b"<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%s</h1><hr>nginx</body></html>\n"
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_REASONS = {500: b"500 Internal Server Error", 502: b"502 Bad Gateway", 503: b"503 Service Temporarily Unavailable"}
_ESCAPES = {b"\\n": b"\n", b"\\t": b"\t", b"\\r": b"\r"}
_ESCAPED = re.compile(rb"(?<!\\)((?:\\\\)*)(\\[ntr])")
CHUNK = 1 << 16


@dataclass(slots=True, kw_only=True)
class Damage:
    """What becomes of a reply: wait `delay` seconds, send all of it or `cut` it (at this byte of the body; -1: send nothing)."""

    delay: float = 0.0
    cut: int | None = None
    endless: int = 0  # bytes to send in chunks instead of the body


def replacement(fault: Fault, now: int) -> Reply | None:
    """Return the reply that a fault sends instead of the API's own; None if it keeps that."""
    if fault.kind in ("status_500", "status_502", "status_503"):
        status = int(fault.kind[-3:])
        return Reply(status=status, body=_PAGE % (_REASONS[status], _REASONS[status]), headers=dict(_HTML))
    if fault.kind == "html_200":
        return Reply(status=200, body=_PAGE % (b"Please wait", b"We will be back soon"), headers=dict(_HTML))
    if fault.kind == "invalid_json":
        return Reply(status=200, body=b'{"data": [{"id": ', headers={"Content-Type": "application/json"})
    if fault.kind == "redirect":
        return Reply(status=302, headers={"Location": f"{fault.options['origin']}/elsewhere"})
    if fault.kind == "huge":
        return Reply(status=200, headers={"Content-Type": "application/json"})
    if fault.kind == "rate_limited":
        return _rate_limited(fault.options["retry_after"], now)
    return None


def _rate_limited(after: object, now: int) -> Reply:
    body: dict[str, object] = {"message": "Too many requests.", "error": "Rate limit exceeded", "code": "RATE_LIMIT_EXCEEDED"}
    headers = {}
    if after == "date":
        headers["Retry-After"] = to_http_date(now + 2 * SECOND)
    elif after == "body":
        body["retry_after"] = 0.3
    elif after != "none":
        headers["Retry-After"] = str(after)
    return json_reply(429, body, headers)


def spoil(reply: Reply, fault: Fault) -> Damage:
    """Spoil a reply in place, and return how to send it."""
    if fault.kind == "cut":
        return Damage(cut=-1)
    if fault.kind == "hang":
        return Damage(delay=float(fault.options["seconds"]), cut=-1)
    if fault.kind == "slow":
        return Damage(delay=float(fault.options["seconds"]))
    if fault.kind == "truncate":
        return Damage(cut=len(reply.body) // 2)
    if fault.kind == "huge":
        return Damage(endless=int(fault.options["bytes"]))
    if fault.kind == "control_characters":
        raw = _ESCAPED.sub(lambda found: found[1] + _ESCAPES[found[2]], reply.body)
        if raw == reply.body and fault.options["inject"]:
            raw = reply.body.replace(b"{", b'{"note":"bell \x07 and tab \t",', 1)
            raw = raw.replace(b",}", b"}", 1)
        reply.body = raw
    return Damage()


def filler(size: int) -> Iterator[bytes]:
    """Yield the beginning of a JSON list and then `size` bytes that never end it."""
    yield b'[{"id": 1, "note": "'
    block = b"x" * CHUNK
    for _ in range(-(-size // CHUNK)):
        yield block
