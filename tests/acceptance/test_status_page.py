"""The status page, as it is sent: what it says of each connection, and what must never stand on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from etl.runs.terms import RunStatus
from etl.worker.web.site import Next
from tests.acceptance.cast import USUAL
from tests.acceptance.pages import Pages, audit, pages_over
from tests.acceptance.stage import START, Stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FORM = "%Y-%m-%d %H:%M:%S"
HIDDEN = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\+[1-9][0-9]{6,14}\b")
"""An e-mail address or a phone number."""


class Read(HTMLParser):
    """Reads a page as a screen reader does: the texts of each article, pictures by their words."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {"": []}
        self.tags: list[str] = []
        self._at = ""
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag == "article":
            self._at = given["id"] or ""
            self.texts[self._at] = []
        if tag == "svg" and given.get("role") == "img":
            self.texts[self._at].append(given["aria-label"] or "")
        self._hidden += tag in ("style", "figcaption")

    def handle_endtag(self, tag: str) -> None:
        self._at = "" if tag == "article" else self._at
        self._hidden -= tag in ("style", "figcaption")

    def handle_data(self, data: str) -> None:
        if (text := " ".join(data.split())) and not self._hidden:
            self.texts[self._at].append(text)


def read(pages: Pages, *, status: int = 200) -> Read:
    """Return what a page says."""
    answer = pages.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    found = Read()
    found.feed(answer.text)
    return found


@pytest.fixture
def pages(stage: Stage) -> Iterator[Pages]:
    """Give the pages over the stage's warehouse, whose clock is a second after the history's."""
    due = {name: Next(START + 10 * MINUTE, 15 * MINUTE) for name in USUAL.values()}
    with pages_over(stage.database, stage.configured(), clock=stage.clock, due=due) as served:
        yield served


def dated(stage: Stage) -> None:
    """Let the runs and audits have been at the instant of the history, since the database's clock is today's."""
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "UPDATE sync.runs SET started_at = %(at)s, finished_at = %(at)s + interval '2 seconds'", {"at": START}
        )
        session.exec_driver_sql("UPDATE sync.audits SET checked_at = %(at)s", {"at": START - timedelta(hours=3)})


def without_lag(texts: list[str]) -> list[str]:
    """Leave out how far back it is: by the database's clock, which is today's."""
    at = texts.index("Read until")
    return texts[:at] + texts[at + 2 :]


def test_before_the_first_sync_it_says_what_is_configured(pages: Pages) -> None:
    """Every connection has its place."""
    found = read(pages)

    assert found.texts["telephony"] == [
        *("telephony", "krosai", "Not synced yet", "Next sync", "in 9 minutes", "Last proof", "never"),
        *("Requests", "account 3", "0 of 10 requests in a second"),
    ]
    assert "0 of 4 connections fresh, the others on their way" in found.texts[""]


def test_a_fresh_connection_is_told_in_words(stage: Stage, pages: Pages) -> None:
    """Its time line, how far it is, the proof, its allowance and its runs: no picture without its words."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.sync("krosai")
    audit(stage, "krosai")
    dated(stage)
    pages.site.next_due = lambda _, names: {name: Next(START, timedelta(days=36_500)) for name in names}
    (run,) = stage.rows("SELECT * FROM sync.runs")
    used = pages.families()["etl_allowance_used"]["3", "telephony", "1s"]
    line = (
        f"Time line. Settled from {START - 3 * HOUR:{FORM}} to {START - 2 * HOUR:{FORM}}; "
        f"read from {START - 2 * HOUR:{FORM}} to {START:{FORM}}."
    )

    texts = without_lag(read(pages).texts["telephony"])

    assert texts == [
        *("telephony", "krosai", "Fresh"),
        line,
        *("Complete until", "2026-03-01 12:00 UTC", "Next sync", "due now", "Calls held", "3"),
        *("Last proof", "3 of 3 calls, 3 hours ago"),
        *("Requests", "account 3", f"{used:.0f} of 10 requests in a second"),
        *("Last 1 run: 1 succeeded.", "Last 1 run: 1 succeeded."),
        *("Run", "Status", "Started", "Took", "Requests", "Calls", "Error"),
        *(str(run["id"]), "succeeded", "2026-03-01 12:00 UTC", "2s", str(run["requests"]), "3 new, 3 changed"),
    ]


def test_a_failing_connection_comes_first_and_says_what_to_do(stage: Stage, pages: Pages) -> None:
    """With the error of its last run, in the words of the command line; and the headline names it."""
    stage.history.add("krosai", number=3, at=START - timedelta(hours=3))
    stage.sandbox.faults.add("revoke", provider="krosai")
    stage.sync("tuple")
    outcome = stage.sync("krosai")
    assert outcome.status is RunStatus.FAILED
    dated(stage)
    pages.site.next_due = lambda _, names: {}

    found = read(pages)

    assert next(iter(name for name in found.texts if name)) == "telephony"
    assert "1 of 4 connections needs attention: telephony" in found.texts[""]
    assert found.texts["telephony"][2:4] == [
        "Failing",
        f"Run {outcome.run_id} failed 0 seconds ago. {outcome.error}",
    ]


def test_open_findings_are_told_with_what_to_do(stage: Stage, pages: Pages) -> None:
    """A gap, by its times alone; rejected records by their number, never by what they hold."""
    stage.sandbox.switches.salpre.recent_calls = 40
    for minutes in range(1, 41):
        stage.history.add("salpre", at=START - minutes * MINUTE)
    stage.sync("salpre")
    mark = stage.state("salpre")[0]["high_water_mark"]
    stage.history.advance(timedelta(hours=10))
    for minutes in range(1, 61):
        stage.history.add("salpre", at=START + timedelta(hours=10) - minutes * MINUTE)
    stage.history.add_records("salpre", [{"call_id": "odd", "from": "+14155550100"}], at=START + timedelta(hours=9, minutes=50))
    stage.sync("salpre")
    horizon = stage.state("salpre")[0]["horizon"]

    texts = read(pages).texts["devices"]

    assert texts[2] == "Behind"
    why = "the provider's list ends above it; it can be had no more."
    assert texts[texts.index("Open findings") + 1 :] == [
        f"Not read from {mark:{FORM}} to {horizon:{FORM}}: {why}",
        "1 rejected record, see: etl rejects devices",
    ]


def test_no_secret_and_nobody_stands_on_it(stage: Stage, pages: Pages) -> None:
    """No token, no hash of one, no number and no address of a call, no address of the database, no script, no style in a tag."""
    for provider in USUAL:
        stage.history.add(provider, number=4, at=START - timedelta(hours=3))
    stage.history.add_records("krosai", ["jane@example.com"], at=START - timedelta(hours=2))
    stage.sync_all()
    page = pages.get("/")
    text = page.text + pages.get("/metrics").text

    assert HIDDEN.findall(text) == []
    secrets = [*stage.sandbox.tokens.values(), *(row["account"] for row in stage.rows("SELECT account FROM sync.allowances"))]
    secrets += [row["call_id"] for row in stage.rows("SELECT call_id FROM calls WHERE length(call_id) > 6")]
    assert [secret for secret in secrets if secret in text] == []
    assert stage.url not in text
    assert re.findall(r"<script|\sstyle=|\son\w+=|https?://", page.text) == []


def test_what_a_provider_says_is_text(stage: Stage, pages: Pages) -> None:
    """Neither markup nor marks of the reading order come through."""
    stage.sync("krosai")
    with stage.database.begin() as session:
        session.exec_driver_sql(
            "UPDATE sync.runs SET status = 'failed', error_code = 'refused', error_message = %(text)s",
            {"text": "<script>alert(1)</script> \u202eabc & more"},
        )
    page = pages.get("/").text

    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\u202eabc &amp; more" in page
    assert "<script" not in page


def test_what_is_not_configured_any_more_is_last_and_quiet(stage: Stage, pages: Pages) -> None:
    """Its calls stay, and nothing is expected of it."""
    stage.history.add("tuple", number=3, at=START - timedelta(hours=3))
    stage.sync_all()
    pages.site.settings = pages.site.settings.model_copy(
        update={"connections": {name: one for name, one in pages.site.settings.connections.items() if name != "devices"}}
    )
    found = read(pages)

    assert [name for name in found.texts if name][-1] == "devices"
    assert found.texts["devices"][2] == "Not configured any more"


def test_a_warehouse_that_is_away_has_a_page_that_says_so(pages: Pages) -> None:
    """With what is safe and what to do."""
    with pages.away():
        said = read(pages, status=503).texts[""]

    at = said.index("The worker has no connection to its warehouse.")
    assert said[at : at + 3] == [
        "The worker has no connection to its warehouse.",
        "What is committed stays.",
        "It tries again by itself; its log says what the database answered.",
    ]
