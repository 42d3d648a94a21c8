"""
Knows how the four APIs answer a request for a list, out of files: the documented rules and no faults.

The token says whose calls they are: `first-N` sees the first N of the file, `fleet-K-N` the K-th N of them, all others are
refused. So one file serves every size, and any number of accounts with calls of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

from benchmarks.dataset import Dataset
from benchmarks.records import AGENTS

_SCOPE = re.compile(r"first-(\d+)|fleet-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; header names in lower case, `origin` is `http://127.0.0.1:8400`."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    origin: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its body in pieces, so that a page is sent from the mapped file itself."""

    status: int
    body: tuple[bytes | memoryview, ...]
    headers: tuple[str, ...] = ()


def error(status: int, text: str) -> Answer:
    """Answer an error with a plain object, as the sandbox does."""
    return Answer(status, (json.dumps({"error": text}).encode(),))


def scope(token: str | None, calls: int) -> range | None:
    """Return which numbers a token may see; None for one that opens nothing."""
    found = _SCOPE.fullmatch(token or "")
    if found is None:
        return None
    if found[1]:
        return range(min(int(found[1]), calls))
    size = int(found[3])
    return range(min(int(found[2]) * size, calls), min((int(found[2]) + 1) * size, calls))


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default if not text else 0


def _instant(text: str | None) -> int | None:
    """Read an instant as milliseconds, rounded up: cursors are whole milliseconds, and both bounds compare alike so."""
    try:
        read = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    micros = round((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    return -(-micros // 1000)


def _tuple(request: Request, dataset: Dataset, seen: range) -> Answer:
    """`since` inclusive, `until` exclusive, ascending by `ended_at`; the total in a header, the next page in another."""
    if request.path != "/api/v2/call_usage":
        return error(404, "Not Found")
    query = request.query
    since = _instant(query.get("since"))
    until = _instant(query["until"]) if "until" in query else int(datetime.now(UTC).timestamp() * 1000)
    page, size = _whole(query, "page", 1), _whole(query, "per_page", 100)
    if since is None or until is None or page < 1 or size < 1:
        return error(422, "Malformed parameter")
    size = min(size, 1000)
    first = max(seen.start, dataset.outline.first_from(since))
    last = max(first, min(seen.stop, dataset.outline.first_from(until)))
    start = min(first + (page - 1) * size, last)
    stop = min(start + size, last)
    links = []
    for number, relation, there in ((page - 1, "prev", page > 1), (page + 1, "next", stop < last)):
        if there:
            address = urlencode({**query, "page": str(number)})
            links.append(f'<{request.origin}/tuple{request.path}?{address}>; rel="{relation}"')
    headers = (f"X-Total-Count: {last - first}", *([f"Link: {', '.join(links)}"] if links else []))
    return Answer(200, (b"[", dataset.slice(start, stop), b"]"), headers)


def _page(dataset: Dataset, seen: range, *, start: int, size: int) -> memoryview:
    """Cut a page out of a list; its file holds the newest call first, as the list does."""
    begin = seen.start + min(start, len(seen))
    return dataset.slice(begin, min(begin + size, seen.stop))


def _bimpe(request: Request, dataset: Dataset, seen: range) -> Answer:
    path = request.path.removeprefix("/api/v1/console/agents")
    page, size = _whole(request.query, "page", 1), _whole(request.query, "limit", 20)
    if not 1 <= size <= 100 or page < 1 or path == request.path:
        return error(400 if path != request.path else 404, "Bad Request")
    if not path:
        agents = [{"id": f"agent-{n}", "name": f"Agent {n}", "status": "live"} for n in range(AGENTS)]
        shown = agents[(page - 1) * size : page * size]
        return Answer(200, (json.dumps({"message": "", "meta": _meta(AGENTS, page, size), "data": shown}).encode(),))
    found = re.fullmatch(r"/agent-(\d+)/calls", path)
    if found is None or int(found[1]) >= AGENTS:
        return Answer(404, (b'{"code":"not_found","message":"Agent not found","statusCode":404}',))
    share, agent = len(seen) // AGENTS, int(found[1])
    own = range(seen.start + agent * share, seen.start + (agent + 1) * share)
    meta = json.dumps(_meta(len(own), page, size)).encode()
    cut = _page(dataset, own, start=(page - 1) * size, size=size)
    return Answer(200, (b'{"message":"Success","meta":', meta, b',"data":[', cut, b"]}"))


def _meta(total: int, page: int, size: int) -> dict[str, int | bool]:
    pages = -(-total // size)
    return {
        "total_count": total,
        "page_count": pages,
        "current_page": page,
        "limit": size,
        "has_next_page": page < pages,
        "has_previous_page": page > 1,
    }


def _salpre(request: Request, dataset: Dataset, seen: range) -> Answer:
    page, size = _whole(request.query, "page", 1), _whole(request.query, "per_page", 10)
    if request.path != "/api/gateway/v1/call/list" or not 1 <= size <= 1000 or page < 1:
        return Answer(404, (b'{"status":"error","message":"Not found"}',))
    meta = json.dumps({"per_page": size, "page": page, "has_next": page * size < len(seen)}).encode()
    cut = _page(dataset, seen, start=(page - 1) * size, size=size)
    return Answer(200, (b'{"status":"success","data":[', cut, b'],"meta":', meta, b"}"))


def _krosai(request: Request, dataset: Dataset, seen: range) -> Answer:
    page, size = _whole(request.query, "page", 1), _whole(request.query, "limit", 20)
    if request.path != "/v1/calls" or not 1 <= size <= 100 or page < 1:
        return Answer(404, (b'{"error":"Resource not found","code":"NOT_FOUND"}',))
    total = len(seen)
    fields = {"total": total, "page": page, "limit": size, "total_pages": -(-total // size)}
    cut = _page(dataset, seen, start=(page - 1) * size, size=size)
    return Answer(200, (b'{"data":[', cut, b"],", json.dumps(fields).encode()[1:]))


_ANSWERS: dict[str, Callable[[Request, Dataset, range], Answer]] = {
    "tuple": _tuple,
    "bimpe": _bimpe,
    "salpre": _salpre,
    "krosai": _krosai,
}
BASES = {"tuple": "", "bimpe": "/api/v1/console", "salpre": "/api/gateway/v1", "krosai": "/v1"}
"""The paths of the documented base addresses, below the provider's first segment."""


def answer(target: str, headers: Mapping[str, str], origin: str, datasets: Mapping[str, Dataset]) -> tuple[str, Answer]:
    """Answer `/<provider>/<path>?<query>`; return the provider as well."""
    path, _, query = target.partition("?")
    provider, _, rest = path[1:].partition("/")
    if provider not in datasets:
        return provider, error(404, "Not Found")
    dataset = datasets[provider]
    token = headers.get("account-secret-key") or headers.get("authorization", "").removeprefix("Bearer ").strip()
    seen = scope(token, dataset.outline.calls)
    if seen is None:
        return provider, error(401, "Unauthorized")
    request = Request(path="/" + rest, query=dict(parse_qsl(query)), headers=headers, origin=origin)
    return provider, _ANSWERS[provider](request, dataset, seen)
