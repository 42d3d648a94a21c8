"""The benchmarks' page server, over real HTTP: whole answers compared with a plain model of Tuple's documented rules."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from benchmarks.dataset import Dataset, lasting, make
from benchmarks.serving import Pages, pages

CALLS = 3_000
PATH = "/tuple/api/v2/call_usage"

Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pages, list[dict[str, Any]]]]:
    """Serve a small history of each provider; give Tuple's records as well."""
    folder = tmp_path_factory.mktemp("calls")
    outlines = [lasting(provider, CALLS) for provider in ("tuple", "bimpe", "salpre", "krosai")]
    records = json.loads(b"[" + bytes(Dataset(make(outlines[0], folder)).slice(0, CALLS)) + b"]")
    with pages(*outlines, folder=folder) as running:
        yield running, records


@pytest.fixture
def ask(served: tuple[Pages, list[dict[str, Any]]]) -> Iterator[Ask]:
    """Give what asks the server, over one connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", served[0].port)

    def asked(target: str, *, token: str = f"first-{CALLS}", header: str = "Authorization") -> tuple[int, dict[str, str], Any]:
        connection.request("GET", target, headers={header: f"Bearer {token}" if header == "Authorization" else token})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())

    yield asked
    connection.close()


def at(record: dict[str, Any]) -> datetime:
    """Return where a record stands."""
    return datetime.fromisoformat(record["ended_at"])


def written(instant: datetime) -> str:
    """Write an instant as it is asked for."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def test_records_are_in_order_with_ties_and_oddities(served: tuple[Pages, list[dict[str, Any]]]) -> None:
    """Ids differ, no call stands before the one before it, some share an instant, some participants have no user."""
    _, records = served
    instants = [at(record) for record in records]
    people = [one["user"] for record in records for one in record["call_participations"]]
    sizes = {len(record["call_participations"]) for record in records}

    assert len({record["id"] for record in records}) == CALLS
    assert (instants, sizes) == (sorted(instants), {1, 2, 3})
    assert CALLS - len(set(instants)) == (CALLS - 1) // 97
    assert None in people and len({person["email"] for person in people if person}) > 100


@pytest.mark.parametrize("size", [1, 7, 100, 1000, 5000])
@pytest.mark.parametrize("place", [0, 96, 97, 1500, CALLS - 1])
@pytest.mark.parametrize("shift", [timedelta(), timedelta(milliseconds=1), timedelta(seconds=-3)])
def test_pages_are_those_of_a_plain_model(
    served: tuple[Pages, list[dict[str, Any]]], ask: Ask, size: int, place: int, shift: timedelta
) -> None:
    """`since` inclusive, `until` exclusive, ascending, 1000 at most; the total is the window's; links where they lead on."""
    _, records = served
    since = at(records[place]) + shift
    until = since + timedelta(hours=2)
    window = [record for record in records if since <= at(record) < until]
    limit = min(size, 1000)
    for page in (1, 2, 4):
        query = f"since={written(since)}&until={written(until)}&page={page}&per_page={size}"
        status, headers, body = ask(f"{PATH}?{query}")
        links = {relation: page + step for relation, step, there in _around(page, limit, len(window)) if there}

        assert (status, body) == (200, window[(page - 1) * limit : page * limit])
        assert headers["x-total-count"] == str(len(window))
        assert _links(headers) == {name: {**dict(parse_qsl(query)), "page": str(number)} for name, number in links.items()}


def _around(page: int, limit: int, total: int) -> list[tuple[str, int, bool]]:
    return [("prev", -1, page > 1), ("next", 1, page * limit < total)]


def _links(headers: dict[str, str]) -> dict[str, dict[str, str]]:
    found = {}
    for part in filter(None, headers.get("link", "").split(", ")):
        address, _, relation = part.partition(">; rel=")
        found[relation.strip('"')] = dict(parse_qsl(urlsplit(address[1:]).query))
    return found


def test_following_the_links_reads_everything_once(served: tuple[Pages, list[dict[str, Any]]], ask: Ask) -> None:
    """By the default size and without an end: 30 pages of 100."""
    target: str | None = f"{PATH}?since=2000-01-01T00:00:00Z"
    seen: list[dict[str, Any]] = []
    pages_read = 0
    while target:
        _, headers, body = ask(target)
        seen += body
        pages_read += 1
        following = [part for part in headers.get("link", "").split(", ") if part.endswith('rel="next"')]
        parts = urlsplit(following[0].partition(">")[0][1:]) if following else None
        target = f"{parts.path}?{parts.query}" if parts else None

    assert (pages_read, seen) == (30, served[1])


def test_a_token_sees_its_own_calls(served: tuple[Pages, list[dict[str, Any]]], ask: Ask) -> None:
    """The first so many, or those of one of many accounts; another token opens nothing."""
    everything = f"{PATH}?since=2000-01-01T00:00:00Z&per_page=1000"

    assert ask(everything, token="first-40")[2] == served[1][:40]
    assert ask(everything, token="fleet-3-40")[2] == served[1][120:160]
    assert ask(everything, token="someone")[0] == 401
    assert ask(f"{PATH}?since=never")[0] == 422
    assert ask(f"{PATH}?per_page=10")[0] == 422


@pytest.mark.parametrize(
    ("target", "header", "page", "key", "cursor", "total"),
    [
        ("/bimpe/api/v1/console/agents/agent-1/calls?limit=100&page={}", "Authorization", "data", "id", "created_on", CALLS // 4),
        ("/salpre/api/gateway/v1/call/list?per_page=100&page={}", "account-secret-key", "data", "call_id", "started_at", CALLS),
        ("/krosai/v1/calls?limit=100&page={}", "Authorization", "data", "id", "created_at", CALLS),
    ],
)
def test_lists_show_every_call_once_newest_first(
    ask: Ask, target: str, header: str, page: str, key: str, cursor: str, total: int
) -> None:
    """All pages together are the whole list; the page after the last one is empty."""
    bodies = [ask(target.format(number), header=header)[2][page] for number in range(1, total // 100 + 3)]
    records = [record for body in bodies for record in body]
    instants = [record[cursor] for record in records]

    assert len({record[key] for record in records}) == len(records) == total
    assert instants == sorted(instants, reverse=True)
    assert bodies[-1] == []


def test_requests_are_counted(served: tuple[Pages, list[dict[str, Any]]], ask: Ask) -> None:
    """Each answered request counts, a question for the count does not."""
    before = served[0].requests()
    for _ in range(3):
        ask(f"{PATH}?since=2025-01-01T00:00:00Z&per_page=1")

    assert served[0].requests() == before + 3
