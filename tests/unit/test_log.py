"""Events become lines, and nothing secret or personal is in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from etl import log
from tests.events import events_told


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put both logging systems back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_elsewhere() -> None:
    """Where nobody looks, an event is one JSON document with its level and its time."""
    out = io.StringIO()
    log.configure(stream=out)

    structlog.get_logger().info("page.loaded", connection="pairing", records=3, total=None)

    event = json.loads(out.getvalue())
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "page.loaded", "level": "info", "connection": "pairing", "records": 3, "total": None}


def test_text_on_a_terminal() -> None:
    """On a terminal an event is a line of text, in colour unless that is not wanted."""
    coloured, plain = Terminal(), Terminal()
    log.configure(stream=coloured)
    structlog.get_logger().info("page.loaded", records=3)
    log.configure(stream=plain, colors=False)
    structlog.get_logger().info("page.loaded", records=3)

    assert "\x1b[" in coloured.getvalue()
    assert "\x1b[" not in plain.getvalue()
    assert "page.loaded" in plain.getvalue()
    assert "records=3" in plain.getvalue()


def test_level() -> None:
    """What is below the level is not written."""
    out = io.StringIO()
    log.configure(stream=out, level="warning")

    structlog.get_logger().info("page.loaded")
    structlog.get_logger().warning("page.refused")

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["page.refused"]


def test_other_libraries() -> None:
    """Warnings of other libraries take the same way, redaction included; what they merely tell does not."""
    out = io.StringIO()
    log.configure(stream=out, level="debug", secrets=["sk-made-up"])

    logging.getLogger("elsewhere").info("GET /calls")
    logging.getLogger("elsewhere").warning("refused %s", "sk-made-up")

    event = json.loads(out.getvalue())
    assert (event["event"], event["level"], event["logger"]) == ("refused ***", "warning", "elsewhere")


def test_the_queues_library_tells_no_traceback() -> None:
    """It logs one whenever the database goes away: its message stays, in one line."""
    out = io.StringIO()
    log.configure(stream=out)
    try:
        raise ValueError("a cause")
    except ValueError:
        logging.getLogger("procrastinate.utils").exception("listener error: %s", "\n    Database error.\n    ")
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], "exception" in told) == ("listener error: Database error.", "error", False)


def test_secrets_everywhere() -> None:
    """A known secret is masked in values, keys, nested values, other objects and tracebacks; a named one by its name."""
    out = io.StringIO()
    log.configure(stream=out, secrets=["s3cr3t", "s3cr3t-and-more", ""])
    try:
        raise RuntimeError("refused s3cr3t")
    except RuntimeError as exc:
        structlog.get_logger().error(
            "x s3cr3t-and-more",
            exc_info=True,
            nested={"a": ["s3cr3t", (b"s3cr3t",)], "s3cr3t": 1, "Authorization": "Bearer unknown"},
            failure=exc,
        )

    event = json.loads(out.getvalue())
    assert "s3cr3t" not in out.getvalue()
    assert event["event"] == "x ***"
    assert event["nested"] == {"a": ["***", ["***"]], "***": 1, "Authorization": "***"}
    assert event["failure"] == "refused ***"
    assert "RuntimeError" in event["exception"]


@pytest.mark.parametrize(
    "text",
    ["ada@example.com", "ada.b+c@mail.example.co.uk", "ada%40example.com", "+14155550100", "+1 (415) 555-0100", "%2B14155550100"],
)
def test_personal_data(text: str) -> None:
    """E-mail addresses and phone numbers are masked, also inside other text."""
    masked = log.Redaction()(None, "info", {"event": "x", "said": f"<{text}> is busy"})

    assert masked == {"event": "x", "said": "<***> is busy"}


@pytest.mark.parametrize(
    "text", ["2026-01-01T00:00:00.123456+00:00", "call-4155550100", "100 % of 3+4", "etl@localhost", "1 + 1"]
)
def test_harmless_text(text: str) -> None:
    """Times, ids and arithmetic stay."""
    assert log.Redaction()(None, "info", {"event": text}) == {"event": text}


@given(
    secret=st.text(min_size=3).filter(lambda text: "*" not in text),
    before=st.text(),
    after=st.text(),
)
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    """Whatever stands around it, a known secret does not come through."""
    masked = log.Redaction([secret])(None, "info", {"event": before + secret + after})

    assert secret not in masked["event"]


def test_a_host_has_the_events_in_its_own_log() -> None:
    """Where the command line has set nothing up, Python's logging has them, masked; words for people, and the parts apart."""
    with events_told() as told, log.masked(["s3cr3t"]):
        log.Logger("etl.tests").warning("page.refused", connection="pairing", cause="s3cr3t of ada@example.com", token="unknown")

    assert told == [
        {"event": "page.refused", "log_level": "warning", "connection": "pairing", "cause": "*** of ***", "token": "***"}
    ]
    assert log._masked == []
