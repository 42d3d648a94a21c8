"""`/healthz` says whether the worker's loops move, `/readyz` whether it can work; both in a sentence, over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest

from etl.system import SystemThreads
from etl.worker.web.server import served
from tests.acceptance.pages import Pages, pages_over
from tests.acceptance.stage import Stage
from tests.events import events_told


@pytest.fixture
def pages(stage: Stage) -> Iterator[Pages]:
    """Give the pages over the stage's warehouse."""
    with pages_over(stage.database, stage.configured(), clock=stage.clock) as served:
        yield served


def test_a_worker_whose_loops_move_is_alive(pages: Pages) -> None:
    """A loop may be 29 seconds late; then the worker is stuck."""
    pages.heart.late = timedelta(seconds=29)
    alive = pages.get("/healthz")
    pages.heart.late = timedelta(seconds=30)
    stuck = pages.get("/healthz")

    assert (alive.status_code, alive.text) == (200, "The worker is alive.\n")
    assert (stuck.status_code, stuck.text) == (
        503,
        "A loop of the worker is 30 seconds late: it is stuck. Restart it.\n",
    )
    assert pages.get("/readyz").text == stuck.text


def test_a_worker_without_its_warehouse_is_alive_and_not_ready(pages: Pages) -> None:
    """An orchestrator that restarted it would help nobody."""
    with pages.away():
        alive, ready = pages.get("/healthz"), pages.get("/readyz")

    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.text == (
        "The worker has no connection to its warehouse. What is committed stays. "
        "It tries again by itself; its log says what the database answered.\n"
    )


def test_a_worker_on_an_older_schema_is_not_ready(stage: Stage, pages: Pages) -> None:
    """The sentence says what to run."""
    with stage.database.begin() as session:
        session.exec_driver_sql("UPDATE sync.alembic_version SET version_num = '0001'")
    answer = pages.get("/readyz")

    assert answer.status_code == 503
    assert answer.text.endswith("Nothing was changed. Run: etl migrate\n")


def test_nothing_else_is_there(pages: Pages) -> None:
    """Another path is told what there is, and nothing can be sent."""
    elsewhere, sent = pages.get("/admin"), pages._client.post("/metrics")

    assert (elsewhere.status_code, sent.status_code) == (404, 405)
    assert elsewhere.text == "Here are: / (the status page), /metrics, /healthz and /readyz.\n"


def test_a_browser_may_do_nothing_but_show_it(pages: Pages) -> None:
    """Every answer forbids scripts, frames and whatever is elsewhere, and is not kept."""
    for path in ("/", "/metrics", "/healthz", "/readyz", "/style.css", "/icon.svg", "/admin"):
        headers = pages.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self';"), path
        assert "script" not in headers["content-security-policy"]
        assert {name: headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")} == {
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        }
        assert "server" not in headers


def test_an_address_in_use_is_a_warning(stage: Stage, pages: Pages) -> None:
    """And so is one that this machine does not have: the worker goes on without pages; `off` says nothing."""
    with socket.socket() as taken, events_told() as told:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for listen in (("127.0.0.1", port), ("192.0.2.1", 9464), None):
            with served(pages.site, listen, threads=SystemThreads()) as address:
                assert address is None

    assert [(one["log_level"], one["event"], one["address"]) for one in told] == [
        ("warning", "web.not_listening", f"127.0.0.1:{port}"),
        ("warning", "web.not_listening", "192.0.2.1:9464"),
    ]
    assert told[0]["error"] == (
        "The address cannot be used: address already in use. The worker goes on without metrics and pages; "
        "set worker.listen to another address, or to off."
    )
