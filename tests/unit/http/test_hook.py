"""A hook over real HTTP: what is sent, what counts as told, and that no error shows the address."""

from __future__ import annotations

import json
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from etl.alerts.port import HookFailed
from etl.http.hook import WebHook

Serve = Callable[..., Any]
PATH = "/services/1a2b3c4d?x=5e6f"
TEXT = "Call warehouse, connection voice: …\n\nanother"


@pytest.fixture
def posts(serve: Serve) -> Callable[..., tuple[WebHook, list[tuple[str, str, Any]]]]:
    """Give a function that makes a hook which is answered with these statuses, and the list of what it was sent."""

    def make(*statuses: int, **headers: str) -> tuple[WebHook, list[tuple[str, str, Any]]]:
        heard: list[tuple[str, str, Any]] = []
        left = list(statuses)

        def respond(responder: Any) -> None:
            body = responder.rfile.read(int(responder.headers.get("Content-Length", 0)))
            heard.append((responder.command, responder.path, json.loads(body) if body else None))
            responder.answer(left.pop(0), b"ok", **headers)

        return WebHook(serve(respond).url + PATH), heard

    return make


def test_a_text_is_posted(posts: Any) -> None:
    """As JSON, to the address with its query; any 2xx will do."""
    hook, heard = posts(200, 204)
    hook.tell(TEXT)
    hook.tell("again")
    assert heard == [("POST", PATH, {"text": TEXT}), ("POST", PATH, {"text": "again"})]


def test_a_heartbeat_is_asked_for(posts: Any) -> None:
    """By GET, without anything."""
    hook, heard = posts(200)
    hook.beat()
    assert heard == [("GET", PATH, None)]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 302, 307])
def test_another_status_is_a_failure(posts: Any, status: int) -> None:
    """It is not tried again here, and a redirect is not followed: the text is for whoever was configured."""
    hook, heard = posts(status, Location="/elsewhere")
    with pytest.raises(HookFailed) as caught:
        hook.tell(TEXT)
    assert caught.value.cause == f"http_{status}"
    assert len(heard) == 1


def test_nobody_is_there() -> None:
    """The cause is a word of ours, and nothing that is raised or shown holds the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hook = WebHook(f"http://127.0.0.1:{free.getsockname()[1]}{PATH}")
        with pytest.raises(HookFailed) as caught:
            hook.tell(TEXT)
    shown = "".join(traceback.format_exception(caught.value)) + repr(hook)
    assert caught.value.cause == "refused"
    assert "1a2b3c4d" not in shown


def test_no_answer() -> None:
    """It waits no longer than it may."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hook = WebHook(f"http://127.0.0.1:{deaf.getsockname()[1]}{PATH}", patience=timedelta(seconds=0.1))
        with pytest.raises(HookFailed) as caught:
            hook.beat()
    assert caught.value.cause == "timeout"


def test_what_speaks_no_http(serve: Serve) -> None:
    """A broken answer is a failure like another."""

    def respond(responder: Any) -> None:
        responder.wfile.write(b"220 mail.example.com ESMTP\r\n")
        responder.close_connection = True

    with pytest.raises(HookFailed) as caught:
        WebHook(serve(respond).url + PATH).beat()
    assert caught.value.cause == "cut"


def test_an_address_that_httpx_does_not_take() -> None:
    """It has passed the configuration's check, and httpx knows better."""
    with pytest.raises(HookFailed) as caught:
        WebHook("http://127.0.0.1:9/\x01").beat()
    assert caught.value.cause == "cannot_be_sent"
