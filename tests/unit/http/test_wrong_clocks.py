"""A server's clock that is years off, or ours, ends no request and makes nobody wait for years."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from etl.http.client import Client

Connect = Callable[..., Client]
ANCIENT, LAST_DAY = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"


def answered(*answers: tuple[int, dict[str, str]]) -> Callable[[httpx.Request], httpx.Response]:
    """Answer with these statuses and headers in turn."""
    left = list(answers)

    def handler(_request: httpx.Request) -> httpx.Response:
        status, headers = left.pop(0)
        return httpx.Response(status, headers=headers, content=json.dumps({"data": []}))

    return handler


@pytest.mark.parametrize("date", [ANCIENT, LAST_DAY, "Mon, 01 Jan 1000 00:00:00 GMT"])
@pytest.mark.parametrize("reset", ["30", "1773576030", "1773576030000"])
def test_a_reset_by_a_clock_of_another_age_is_no_error(connect: Connect, clock: Any, date: str, reset: str) -> None:
    """Seconds from now are understood; an instant that its own clock makes impossible is ignored. Both answers arrive."""
    told = {"Date": date, "X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    client = connect(answered((200, told), (200, told)))

    for _ in range(2):
        assert client.get_list("/calls", {}, ("data",)).records == ()
    assert sum(clock.slept) <= 32


@pytest.mark.parametrize("date", [None, ANCIENT, LAST_DAY])
def test_an_instant_to_come_back_is_read_by_the_clock_that_makes_sense_of_it(
    connect: Connect, clock: Any, date: str | None
) -> None:
    """`Retry-After` names an instant half a minute from now by our clock; by the server's own it would be decades, or past."""
    again = format_datetime(clock.now() + timedelta(seconds=30), usegmt=True)
    headers = {"Retry-After": again} | ({"Date": date} if date else {})
    client = connect(answered((503, headers), (200, {})))

    client.get_list("/calls", {}, ("data",))

    assert clock.slept == [30.0]


def test_an_instant_to_come_back_is_read_by_the_servers_clock_where_ours_is_years_behind(connect: Connect, clock: Any) -> None:
    """Both instants are the server's own."""
    theirs = clock.now() + timedelta(days=3652)
    headers = {
        name: format_datetime(theirs + by, usegmt=True)
        for name, by in (("Date", timedelta()), ("Retry-After", timedelta(seconds=30)))
    }
    client = connect(answered((503, headers), (200, {})))

    client.get_list("/calls", {}, ("data",))

    assert clock.slept == [30.0]
