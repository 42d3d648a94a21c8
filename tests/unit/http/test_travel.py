"""How long the way is at least, is asked of the system: of a real connection, and only where it knows."""

import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from etl.http.client import Client
from etl.http.limits import Limiter
from etl.http.travel import shortest
from etl.provider import Limit

BODY = b'{"data": [{"id": 1}]}'


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the shortest way of a connection")
def test_a_real_connection_has_a_shortest_way(serve: Callable[..., Any], connect: Callable[..., Client], make_clock: Any) -> None:
    """On this machine it is far below a second and no nothing; a place under a limit comes free that much earlier."""
    server, clock = serve(lambda responder: responder.answer(200, BODY)), make_clock()
    limiter = Limiter(limits=[Limit(requests=1, per=timedelta(seconds=100))], daily=None, clock=clock)
    client = connect(base_url=server.url, limiter=limiter)
    for _ in range(3):
        client.get_list("/calls", {}, ("data",))

    assert len(clock.slept) == 2
    assert all(99 < slept < 100.1 for slept in clock.slept)


@pytest.mark.parametrize(
    "told", [b"", b"\0" * 100, b"\xff" * 152, OSError()], ids=["nothing", "an old kernel", "none", "refused"]
)
def test_what_the_system_does_not_know_is_not_known(told: bytes | OSError) -> None:
    """No way is better than one that is made up."""

    class Told(socket.socket):
        def getsockopt(self, *asked: Any) -> Any:
            if isinstance(told, OSError):
                raise told
            return told

    class Stream:
        def get_extra_info(self, name: str) -> Any:
            return connection

    with Told() as connection:
        assert shortest(httpx.Response(200, extensions={"network_stream": Stream()})) is None
    assert shortest(httpx.Response(200)) is None
