"""The forms of a query's answer: tables on terminals of several widths and without one, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.cli.answering import show_csv, show_json, show_table
from etl.warehouse.reports.asking import Answer, Column, Kind

Draw = Callable[..., list[str]]

COLUMNS = (Column("call_id", Kind.TEXT), Column("cost", Kind.NUMBER), Column("is_test", Kind.BOOLEAN), Column("raw", Kind.JSON))
ROWS: list[list[str | None]] = [
    ["one", "0.014678", "t", '{"id": "one", "status": "completed", "duration": 73, "direction": "outbound"}'],
    ["a-call-whose-id-is-long", "12345.50", "f", None],
]


def answer(rows: list[list[str | None]] = ROWS, columns: tuple[Column, ...] = COLUMNS) -> Answer:
    """Return an answer with these rows."""
    return Answer(columns, rows, False)


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Draw:
    """Give a function that returns the lines of an answer on a terminal so wide (None: no terminal)."""

    def _draw(width: int | None, given: Answer) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.setenv("LINES", "25")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr("sys.stdout.isatty", lambda: width is not None)
        show_table(given)
        return capsys.readouterr().out.splitlines()

    return _draw


def test_a_table_that_fits(draw: Draw) -> None:
    """Numbers stand to the right as they are, nulls are named, and the rows are counted."""
    assert draw(140, answer()) == [
        "call_id                      cost  is_test  raw",
        "one                      0.014678  true     " + (ROWS[0][3] or ""),
        "a-call-whose-id-is-long  12345.50  false    NULL",
        "(2 rows)",
    ]


def test_a_table_that_does_not_fit_cuts_its_longest_texts(draw: Draw) -> None:
    """Numbers are never cut; and it is said where the rest can be had."""
    assert draw(80, answer()) == [
        "call_id                      cost  is_test  raw",
        'one                      0.014678  true     {"id": "one", "status": "completed"…',
        "a-call-whose-id-is-long  12345.50  false    NULL",
        "(2 rows; long values are cut here, --csv and --json give them whole)",
    ]


def test_a_table_that_cannot_fit_shows_its_rows_one_below_the_other(draw: Draw) -> None:
    """Each value beside its column's name, in three lines at most."""
    long = '{"id": "' + "one" * 20 + '"}'
    assert draw(39, answer([["one", "0.5", "t", long], ["two", None, "f", "{}"]])) == [
        "call_id  one",
        "cost     0.5",
        "is_test  true",
        "raw      " + long[:30],
        "         " + long[30:60],
        "         " + long[60:],
        "",
        "call_id  two",
        "cost     NULL",
        "is_test  false",
        "raw      {}",
        "(2 rows)",
    ]
    assert draw(30, answer([["one", "0.5", "t", long]]))[3:] == [
        "raw      " + long[:21],
        "         " + long[21:42],
        "         " + long[42:62] + "…",
        "(1 row; long values are cut",
        "  here, --csv and --json give",
        "  them whole)",
    ]


def test_one_column_alone_folds(draw: Draw) -> None:
    """Nothing stands beside it: a query's plan can be read to its end."""
    given = answer([["Seq Scan " + "x" * 40], [None]], (Column("QUERY PLAN", Kind.TEXT),))
    assert draw(30, given) == ["QUERY PLAN", "Seq Scan " + "x" * 21, "x" * 19, "NULL", "(2 rows)"]


def test_without_a_terminal_nothing_is_cut(draw: Draw) -> None:
    """A program that reads it finds every value in its line."""
    assert draw(None, answer())[1] == "one                      0.014678  true     " + (ROWS[0][3] or "")


def test_letters_of_two_cells_are_counted_so(draw: Draw) -> None:
    """Columns stay below each other."""
    assert draw(80, answer([["日本", "1", "t", "x"], ["é", "2", "t", "y"]]))[1:3] == [
        "日本        1  true     x",
        "é           2  true     y",
    ]


@pytest.mark.parametrize("width", [None, 30, 80, 200])
def test_no_value_moves_the_cursor(draw: Draw, width: int | None) -> None:
    """Sequences and line ends in a value or in a column's name are shown, not obeyed."""
    columns = (Column("\x1b[2J", Kind.TEXT), Column("b", Kind.JSON))
    drawn = "\n".join(draw(width, answer([["\x9b31m", "one\r\ntwo [red]three[/]"]], columns)))
    assert not {"\x1b", "\r", "\x9b"} & set(drawn)
    assert [part in drawn for part in (r"\x1b[2J", r"\x9b31m", r"one\r\ntwo")] == [True] * 3


def test_csv(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """RFC 4180: CRLF, quotes where they are needed; a null is empty and an empty text is not; letters in UTF-8."""
    show_csv(answer([["a,b", "0.10", "t", '"'], ["", None, "f", "zoë\nzwei\x1b"]]))

    assert capsysbinary.readouterr().out == (
        b'call_id,cost,is_test,raw\r\n"a,b",0.10,true,""""\r\n"",,false,"zo\xc3\xab\nzwei\x1b"\r\n'
    )


def test_csv_on_a_terminal_is_not_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a pipe gets as it is, a terminal gets escaped."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show_csv(answer([["\x1b[2J", None, "t", "one\ntwo"]]))

    assert capsys.readouterr().out.splitlines()[1] == r'\x1b[2J,,true,"one\ntwo"'


@given(st.lists(st.lists(st.none() | st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_csv_reads_back(rows: list[list[str | None]]) -> None:
    """What a reader of CSV finds is what was there."""
    with pytest.MonkeyPatch.context() as patched:
        out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        patched.setattr("sys.stdout", out)
        show_csv(answer(rows, (Column("a", Kind.TEXT), Column("b", Kind.TEXT))))
        written = out.buffer.getvalue().decode()  # type: ignore[attr-defined]  # the BytesIO above

    assert list(csv.reader(io.StringIO(written, newline=""))) == [["a", "b"], *([one or "" for one in row] for row in rows)]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers keep every digit, jsonb and arrays are JSON, instants ISO 8601; what JSON has no word for is a text."""
    columns = (
        *COLUMNS,
        Column("at", Kind.INSTANT),
        Column("local", Kind.INSTANT),
        Column("costs", Kind.NUMBER, many=True),
        Column("instants", Kind.INSTANT, many=True),
        Column("lag", Kind.TEXT),
    )
    exact = "123456789012345678901234567890.000000000000000000010"
    rows: list[list[str | None]] = [
        ["zoë", exact, "t", '{"n": 1.10}', "2026-03-01 12:00:00.25+00", "2026-03-01 12:00:00", "{1.50,NULL}", "{}", "1 mon"],
        ["", "NaN", "f", "[]", "2026-03-01 17:45:00+05:45", None, "{{1},{2}}", '{"2026-03-01 12:00:00+01"}', None],
        ["\x1b[2J", "-1e-05", None, None, "infinity", "0044-03-15 12:00:00 BC", None, None, None],
    ]
    show_json(answer(rows, columns))
    document = json.loads(written := capsys.readouterr().out, parse_float=Decimal)

    assert document["columns"] == [column.name for column in columns]
    assert document["rows"] == [
        [
            *("zoë", Decimal(exact), True, {"n": Decimal("1.10")}, "2026-03-01T12:00:00.25Z", "2026-03-01T12:00:00"),
            *([Decimal("1.50"), None], [], "1 mon"),
        ],
        [*("", "NaN", False, [], "2026-03-01T17:45:00+05:45", None, [[1], [2]], ["2026-03-01T12:00:00+01:00"], None)],
        [*("\x1b[2J", Decimal("-1e-05"), None, None, "infinity", "0044-03-15 12:00:00 BC", None, None, None)],
    ]
    assert "\x1b" not in written and '{"n": 1.10}' in written


def test_json_without_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a document too."""
    show_json(answer([]))
    assert json.loads(capsys.readouterr().out) == {"columns": ["call_id", "cost", "is_test", "raw"], "rows": []}


def test_json_nested_deeper_than_anything_could_parse(capsys: pytest.CaptureFixture[str]) -> None:
    """It is handed on as it is."""
    deep = "[" * 200_000 + "]" * 200_000
    show_json(answer([[deep]], (Column("raw", Kind.JSON),)))
    assert f"[{deep}]" in capsys.readouterr().out


def test_json_where_letters_cannot_be_written() -> None:
    """They are escaped, and mean the same."""
    with pytest.MonkeyPatch.context() as patched:
        out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        patched.setattr("sys.stdout", out)
        show_json(answer([['zoë 👩 "日"', '{"é": "\\u00e9"}']], (Column("ö", Kind.TEXT), Column("raw", Kind.JSON))))
        written = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # the BytesIO above

    assert json.loads(written) == {"columns": ["ö", "raw"], "rows": [['zoë 👩 "日"', {"é": "é"}]]}
