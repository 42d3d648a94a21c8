"""What only a real connection shows: cut ones, slow ones, endless ones, and which credentials reach whom."""

import gzip
import socket
import struct
import threading
import traceback
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from etl.errors import ForeignLink, ProviderUnavailable, ResponseTooLarge, UsageError
from etl.http.client import Client

Connect = Callable[..., Client]
Serve = Callable[..., Any]
BODY = b'{"data": [{"id": 1}]}'
MEGABYTE = 1_048_576


def page(client: Client) -> tuple[bytes, ...]:
    return client.get_list("/calls", {"page": "1"}, ("data",)).records


def reset(responder: Any) -> None:
    """End the connection with RST, as a killed process or a cut line does."""
    responder.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    responder.close_connection = True
    responder.connection.close()


def closed_at_once(responder: Any) -> None:
    responder.close_connection = True


def truncated(responder: Any) -> None:
    responder.answer(200, BODY[:10], Content_Length=str(len(BODY)))
    responder.close_connection = True


def truncated_chunks(responder: Any) -> None:
    responder.send_response(200)
    responder.send_header("Transfer-Encoding", "chunked")
    responder.end_headers()
    responder.wfile.write(b"5\r\n" + BODY[:5] + b"\r\n")
    responder.close_connection = True


def truncated_gzip(responder: Any) -> None:
    responder.answer(200, gzip.compress(BODY)[:-6], Content_Encoding="gzip")


def no_http(responder: Any) -> None:
    responder.wfile.write(b"220 mail.example.com ESMTP\r\n")
    responder.close_connection = True


@pytest.mark.parametrize("trouble", [reset, closed_at_once, truncated, truncated_chunks, truncated_gzip, no_http])
def test_a_cut_answer_is_asked_for_again(serve: Serve, connect: Connect, trouble: Callable[[Any], None]) -> None:
    """However it is cut, half an answer is never taken for a whole one."""
    troubles = [trouble]
    server = serve(lambda responder: troubles.pop()(responder) if troubles else responder.answer(200, BODY))
    client = connect(base_url=server.url)

    assert (page(client), client.requests, client.retries) == ((b'{"id": 1}',), 2, 1)


def test_a_connection_is_kept(serve: Serve, connect: Connect) -> None:
    """Several requests share one."""
    connections = set()

    def respond(responder: Any) -> None:
        connections.add(responder.client_address)
        responder.answer(200, gzip.compress(BODY), Content_Encoding="gzip")

    client = connect(base_url=serve(respond).url + "/v1/")
    pages = [page(client) for _ in range(3)]

    assert (pages, len(connections)) == ([(b'{"id": 1}',)] * 3, 1)


def test_a_slow_server_is_given_up(serve: Serve, connect: Connect) -> None:
    """It is a timeout, and the message says so."""
    end = threading.Event()
    server = serve(lambda _responder: end.wait())
    client = connect(base_url=server.url, timeout=timedelta(seconds=0.05), max_attempts=2)
    try:
        with pytest.raises(ProviderUnavailable, match=r"did not answer in time \(tried 2 times\)"):
            page(client)
    finally:
        end.set()


def test_nobody_there(connect: Connect) -> None:
    """A refused connection and an unknown host say what they are."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ProviderUnavailable, match="the connection was refused"):
            page(connect(base_url=url, max_attempts=1))


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_endless_answer_is_not_read(serve: Serve, connect: Connect, encoding: str) -> None:
    """Of 300 MB about the cap is read, and the memory stays within a few times the cap, also where 300 KB unpack to them."""
    part, packer = b" " * MEGABYTE, zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = b"".join([*(packer.compress(part) for _ in range(300)), packer.flush()])
    parts = [part] * 300 if encoding == "identity" else [packed]
    sent = []

    def respond(responder: Any) -> None:
        responder.send_response(200)
        responder.send_header("Content-Encoding", encoding)
        responder.end_headers()
        responder.close_connection = True
        for each in parts:
            responder.wfile.write(each)
            sent.append(each)

    client = connect(base_url=serve(respond).url, max_response_bytes=8 * MEGABYTE)
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLarge, match="larger than 8 MB"):
            page(client)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    print(f"{encoding}: {len(sent)} parts sent, peak {peak / MEGABYTE:.1f} MB")  # noqa: T201 - a number to look at
    assert (client.requests, len(sent) < 60, peak < 24 * MEGABYTE) == (1, True, True)


def test_an_announced_giant_is_not_read_at_all(serve: Serve, connect: Connect) -> None:
    """Its length is enough."""
    server = serve(lambda responder: responder.answer(200, b"[", Content_Length=str(300 * MEGABYTE)))
    with pytest.raises(ResponseTooLarge):
        page(connect(base_url=server.url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_credential_along(serve: Serve, connect: Connect, status: int, token: str) -> None:
    """The other server, on another port, hears nothing at all; the right one got the credential."""
    other = serve(lambda responder: responder.answer(200, BODY))
    server = serve(lambda responder: responder.answer(status, b"", Location=f"{other.url}/calls"))
    with pytest.raises(ForeignLink):
        page(connect(base_url=server.url))

    assert ([], [f"Bearer {token}"]) == (other.heard, [headers["authorization"] for _, headers in server.heard])


def test_a_next_link_takes_no_credential_along(serve: Serve, connect: Connect) -> None:
    """The other server hears nothing."""
    other = serve(lambda responder: responder.answer(200, BODY))
    server = serve(lambda responder: responder.answer(200, BODY, Link=f'<{other.url}/calls?page=2>; rel="next"'))
    with pytest.raises(ForeignLink):
        page(connect(base_url=server.url))

    assert (other.heard, len(server.heard)) == ([], 1)


def test_threads_share_a_client(serve: Serve, connect: Connect) -> None:
    """Eight at once, each with its own answer."""
    server = serve(lambda responder: responder.answer(200, b'{"data": [%d]}' % int(responder.path.rsplit("=", 1)[1])))
    client = connect(base_url=server.url)
    answers: dict[int, tuple[bytes, ...]] = {}

    def ask(first: int) -> None:
        for number in range(first, 80, 8):
            answers[number] = client.get_list("/calls", {"page": str(number)}, ("data",)).records

    threads = [threading.Thread(target=ask, args=[first]) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ({number: (b"%d" % number,) for number in range(80)}, 80) == (answers, client.requests)


# ── Proxies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give a function that sets the environment's proxy, whatever it was before."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return lambda url: monkeypatch.setenv("HTTP_PROXY", url)


def test_the_environments_proxy_is_used(serve: Serve, connect: Connect, proxied: Callable[[str], None]) -> None:
    """The request reaches the proxy, with the whole address."""
    proxy = serve(lambda responder: responder.answer(200, BODY))
    proxied(proxy.url)
    page(connect(base_url="http://api.example.com/v1", allow_http=True))

    assert [path for path, _ in proxy.heard] == ["http://api.example.com/v1/calls?page=1"]


def test_no_proxy_is_asked_for_this_machine(serve: Serve, connect: Connect, proxied: Callable[[str], None]) -> None:
    """A proxy elsewhere could not reach the sandbox."""
    proxy, server = (serve(lambda responder: responder.answer(200, BODY)) for _ in range(2))
    proxied(proxy.url)
    page(connect(base_url=server.url))

    assert (len(proxy.heard), len(server.heard)) == (0, 1)


@pytest.mark.parametrize("url", ["gopher://user:pa55@proxy.example", "http://user:pa55@proxy.example:port"])
def test_a_proxy_that_cannot_be_used_is_said(connect: Connect, proxied: Callable[[str], None], url: str) -> None:
    """Without the password that its address holds."""
    proxied(url)
    with pytest.raises(UsageError, match="proxy that the environment names") as raised:
        connect(base_url="http://api.example.com/v1", allow_http=True)

    assert "pa55" not in "".join(traceback.format_exception(raised.value))
