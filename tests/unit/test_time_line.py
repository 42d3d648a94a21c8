"""What is known of a connection's time, and how it is drawn on terminals of several widths, in letters, and in sentences."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.cli.time_line import show_time_lines
from etl.coverage import BEGINNING, ORIGIN, Spans
from etl.runs.state import StreamState
from etl.warehouse.reports.time_lines import Part, Stretch, TimeLine, stretches_of

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the instant so many days after the first."""
    return FIRST + number * DAY


WHOLE = TimeLine("pairing", (Stretch(Part.SETTLED, ORIGIN, day(9)), Stretch(Part.READ, day(9), day(10))), day(0))
BROKEN = TimeLine(
    "voice",
    (
        Stretch(Part.LOST, day(0), day(2)),
        Stretch(Part.SETTLED, day(2), day(5)),
        Stretch(Part.GAP, day(5), day(6)),
        Stretch(Part.READ, day(6), day(10)),
    ),
    day(2),
)
OPEN = TimeLine("new", (Stretch(Part.GAP, None, day(5)), Stretch(Part.READ, day(5), day(10))), day(5))

Draw = Callable[..., list[str]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Give a function that returns the lines drawn on a terminal so wide (None: no terminal)."""

    def _draw(width: int | None, *lines: TimeLine, encoding: str = "utf-8", **given: object) -> list[str]:
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.setenv("LINES", "25")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr(out, "isatty", lambda: width is not None, raising=False)
        show_time_lines(lines, **given)  # type: ignore[arg-type]  # as the caller gives it
        out.flush()
        return out.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]  # the BytesIO above

    return _draw


def test_each_connection_has_a_line_as_wide_as_the_terminal(draw: Draw) -> None:
    """A block shows the worst of its time; the legend names what occurs; what was read before the first call is left out."""
    assert draw(53, WHOLE, BROKEN) == [
        "",
        "pairing  2026-03-01 " + "█" * 19 + "▄▄▄ 2026-03-11",
        "voice    2026-03-01 " + "×" * 5 + "█" * 6 + "░░░▄▄▄▄▄▄▄▄ 2026-03-11",
        "         █ settled  ▄ read, may still change  ░ gap  × lost",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_it_fits(draw: Draw, width: int) -> None:
    """At every width that terminals have."""
    drawn = draw(width, WHOLE, BROKEN, OPEN)
    assert [len(line) for line in drawn[1:4]] == [width] * 3
    assert max(map(len, drawn)) == width


def test_letters_where_blocks_cannot_be_written(draw: Draw) -> None:
    """The same in ASCII."""
    assert draw(53, BROKEN, encoding="ascii") == [
        "",
        "voice  2026-03-01 " + "xxxxx" + "#######" + "..." + "=" * 9 + " 2026-03-11",
        "       # settled  = read, may still change  . gap  x lost",
    ]


def test_a_gap_without_a_lower_bound(draw: Draw) -> None:
    """A tenth of the line stands for it, and its end has no date."""
    assert draw(47, OPEN)[1] == "new  beginning  ░░" + "▄" * 18 + " 2026-03-11"


def test_a_short_time_is_named_by_its_minutes(draw: Draw) -> None:
    """Two equal dates would say nothing."""
    line = TimeLine("voice", (Stretch(Part.READ, day(0), day(0.5)),), None)
    assert draw(42, line)[1] == "voice  03-01 00:00 " + "▄" * 11 + " 03-01 12:00"


def test_the_calls_of_each_day_stand_below(draw: Draw) -> None:
    """The fullest day has a whole block, a day without calls none."""
    days = {"pairing": {day(number).date(): count for number, count in ((0, 4), (1, 8), (3, 1), (9, 1234))}}
    assert draw(42, WHOLE, days=days)[1:3] == [
        "pairing  2026-03-01 " + "█" * 9 + "▄▄ 2026-03-11",
        "         calls/day  ▁▁ ▁      █ ≤ 1,234",
    ]


def test_sentences_where_there_is_no_terminal(draw: Draw) -> None:
    """Each stretch by its instants, at most three of a kind."""
    many = TimeLine("many", tuple(Stretch(Part.READ, day(2 * n), day(2 * n + 1)) for n in range(5)), None)
    assert draw(None, WHOLE, OPEN, many, days={"pairing": {FIRST.date(): 1200}}) == [
        "pairing: settled from the beginning to 2026-03-10 00:00:00; read from 2026-03-10 00:00:00 to 2026-03-11 00:00:00.",
        "pairing: calls per day: 2026-03-01 1,200.",
        "new: read from 2026-03-06 00:00:00 to 2026-03-11 00:00:00; gap from the beginning to 2026-03-06 00:00:00.",
        (
            "many: read from 2026-03-01 00:00:00 to 2026-03-02 00:00:00, from 2026-03-03 00:00:00 to 2026-03-04 00:00:00, "
            "from 2026-03-05 00:00:00 to 2026-03-06 00:00:00 and 2 more."
        ),
    ]


def test_nothing_is_drawn_of_what_was_never_read(draw: Draw) -> None:
    """There is no time to show."""
    assert draw(80, TimeLine("new", (), None)) == []


INSTANTS = st.integers(0, 12).map(day)
SPANS = st.lists(st.tuples(INSTANTS, INSTANTS), max_size=4).map(Spans)


@st.composite
def stream(draw: st.DrawFn) -> StreamState:
    """Draw the state of a stream; only what was read is settled."""
    coverage = draw(SPANS)
    start, horizon = draw(st.none() | INSTANTS), draw(st.none() | INSTANTS)
    return StreamState(start=start, coverage=coverage, settled=coverage & draw(SPANS), horizon=horizon)


@given(st.lists(stream(), max_size=4))
def test_each_instant_shows_the_worst_that_a_stream_knows_of_it(states: list[StreamState]) -> None:
    """Lost before a gap, a gap before read, read before settled; and the stretches ascend without overlapping."""
    found = stretches_of(states)

    ends = [(stretch.start or BEGINNING, stretch.end) for stretch in found]
    assert all(one[1] <= other[0] for one, other in pairwise(ends))
    newest = max((state.coverage.last.end for state in states if state.coverage), default=None)
    for instant in (day(number + 0.5) for number in range(-1, 13)):
        known = {
            part
            for state in states
            for part, there in (
                (Part.LOST, instant in state.lost),
                (Part.GAP, instant in state.closable),
                (Part.GAP, not state.coverage and (state.domain_start or BEGINNING) <= instant < (newest or instant)),
                (Part.READ, instant in state.coverage and instant not in state.settled),
                (Part.SETTLED, instant in state.settled),
            )
            if there and newest is not None
        }
        shown = [stretch.part for stretch in found if (stretch.start or BEGINNING) <= instant < stretch.end]
        worst = next((part for part in (Part.LOST, Part.GAP, Part.READ, Part.SETTLED) if part in known), None)
        assert shown == ([worst] if worst else [])
