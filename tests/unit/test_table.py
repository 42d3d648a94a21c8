"""How rows look on terminals of several widths, and without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from etl.cli.table import show_table

HEADS = ("connection", "started", "new", "error")
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS = [("pairing", STARTED, 12_000, "a text that is longer than what is left of the terminal"), ("voice", STARTED, 7, None)]

Draw = Callable[..., list[str]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Draw:
    """Give a function that returns the lines of a table on a terminal so wide (None: no terminal)."""

    def _draw(width: int | None, *, rows: object = ROWS, spare: tuple[str, ...] = ()) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.setenv("LINES", "25")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: width is not None)
        show_table(HEADS, rows, spare=spare)  # type: ignore[arg-type]  # rows of several kinds
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return _draw


def test_without_a_terminal(draw: Draw) -> None:
    """Every value stands in one line, however long that becomes."""
    assert draw(None) == [
        "connection  started              new     error",
        "pairing     2026-03-01 12:00:00  12,000  a text that is longer than what is left of the terminal",
        "voice       2026-03-01 12:00:00  7       -",
    ]


def test_a_wide_terminal(draw: Draw) -> None:
    """Nothing folds where there is room; numbers stand to the right."""
    assert draw(200) == [
        "connection  started                 new  error",
        "pairing     2026-03-01 12:00:00  12,000  a text that is longer than what is left of the terminal",
        "voice       2026-03-01 12:00:00       7  -",
    ]


def test_a_terminal_where_the_text_folds(draw: Draw) -> None:
    """The long text folds; times and numbers do not."""
    assert draw(66) == [
        "connection  started                 new  error",
        "pairing     2026-03-01 12:00:00  12,000  a text that is longer",
        "                                         than what is left of the",
        "                                         terminal",
        "voice       2026-03-01 12:00:00       7  -",
    ]


def test_a_terminal_that_is_too_narrow_for_all(draw: Draw) -> None:
    """What can be spared is left out first, and named."""
    assert draw(80, rows=[("voice", STARTED, 7, "x" * 50)], spare=("started", "new")) == [
        "connection  new  error",
        f"voice         7  {'x' * 50}",
        "(without started: the terminal is too narrow)",
    ]


def test_a_terminal_that_is_narrower_than_a_table(draw: Draw) -> None:
    """Each row stands by itself, a line for each value."""
    assert draw(40, rows=[*ROWS[1:], *ROWS[1:]]) == [
        "connection  voice",
        "started     2026-03-01 12:00:00",
        "new         7",
        "error       -",
        "",
        "connection  voice",
        "started     2026-03-01 12:00:00",
        "new         7",
        "error       -",
    ]


@pytest.mark.parametrize("width", [None, 40, 80, 200])
def test_no_value_moves_the_cursor(draw: Draw, width: int | None) -> None:
    """Sequences, line ends and marks in a value are shown, not obeyed; also in a column's name."""
    drawn = "\n".join(draw(width, rows=[("\x1b[2J", "\r\u202e", "\x9b", "one\ntwo [red]three[/]")]))
    assert not {"\x1b", "\r", "\u202e", "\x9b"} & set(drawn)
    assert [part in drawn for part in (r"\x1b[2J", r"\r\u202e", r"\x9b", r"one\ntwo", "[red]three[/]")] == [True] * 5
