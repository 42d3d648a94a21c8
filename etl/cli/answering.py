"""The three forms of a query's answer: a table of the terminal's width, CSV, and one JSON document."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable

from etl.cli.grid import Cut, draw
from etl.cli.output import say, say_lines
from etl.printable import json_safe, number_of, printable
from etl.warehouse.reports.asking import Answer, Column, Kind, elements

NULL = "NULL"
_BOOLEANS = {"t": "true", "f": "false"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")  # not NaN and Infinity, which JSON does not know
_INSTANT = re.compile(r"(\d{4,}-\d\d-\d\d) ([\d:.]+)(?:([+-]\d\d)(:\d\d)?)?")  # not infinity, nor a year BC
_QUOTED = re.compile(r'[",\r\n]|^$|^\s|\s$')


def show_table(answer: Answer) -> None:
    """Print the rows as a table of the terminal's width, or whole where there is no terminal, and how many there are."""
    cells = [[_shown(column, value) for column, value in zip(answer.columns, row, strict=True)] for row in answer.rows]
    numeric = [column.kind is Kind.NUMBER and not column.many for column in answer.columns]
    cut = draw([column.name for column in answer.columns], cells, numeric=numeric, null=NULL)
    count = number_of(len(cells), "row")
    say(f"({count}; long values are cut here, --csv and --json give them whole)" if cut is Cut.SOME else f"({count})")


def show_csv(answer: Answer) -> None:
    """
    Print the rows as RFC 4180 has it: a header, CRLF after each line, UTF-8; nulls are empty, empty texts are `""`.

    A terminal would obey what stands in some values, so there it is escaped.
    """
    lines = [[column.name for column in answer.columns]]
    lines += [
        ["" if value is None else _field(_plain(column, value)) for column, value in zip(answer.columns, row, strict=True)]
        for row in answer.rows
    ]
    lines[0] = [_field(name) for name in lines[0]]
    if sys.stdout.isatty():
        for line in lines:
            say_lines(printable(",".join(line)))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write("".join(",".join(line) + "\r\n" for line in lines).encode())
    sys.stdout.buffer.flush()


def show_json(answer: Answer) -> None:
    """Print one document, `columns` and `rows`: numbers with all their digits, jsonb as JSON, instants as ISO 8601 has them."""
    names = json.dumps([column.name for column in answer.columns], ensure_ascii=False)
    rows = ",\n    ".join(
        f"[{', '.join(_json(column, value) for column, value in zip(answer.columns, row, strict=True))}]" for row in answer.rows
    )
    document = f'{{\n  "columns": {names},\n  "rows": [{f"{chr(10)}    {rows}{chr(10)}  " if rows else ""}]\n}}'
    utf = (sys.stdout.encoding or "").lower().startswith("utf")
    say_lines(json_safe(document) if utf else _ascii(document))


def _shown(column: Column, value: str | None) -> str | None:
    return None if value is None else printable(_plain(column, value))


def _plain(column: Column, value: str) -> str:
    return _BOOLEANS.get(value, value) if column.kind is Kind.BOOLEAN and not column.many else value


def _field(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if _QUOTED.search(value) else value


def _json(column: Column, value: object) -> str:
    """Return a value as JSON; its parts are never parsed, so that no number is rounded and nothing is too deep."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return _list(_json(column, one) for one in value)
    text = str(value)
    if column.many:
        return _json(column._replace(many=False), elements(text))
    if column.kind is Kind.JSON:
        return text
    if column.kind is Kind.BOOLEAN:
        return _BOOLEANS[text]
    if column.kind is Kind.NUMBER and _NUMBER.fullmatch(text):
        return text
    return json.dumps(_iso(text) if column.kind is Kind.INSTANT else text, ensure_ascii=False)


def _list(parts: Iterable[str]) -> str:
    return f"[{', '.join(parts)}]"


def _iso(instant: str) -> str:
    found = _INSTANT.fullmatch(instant)
    if found is None:
        return instant
    day, time, hours, minutes = found.groups()
    offset = "" if hours is None else f"{hours}{minutes or ':00'}"
    return f"{day}T{time}{'Z' if offset == '+00:00' else offset}"


def _ascii(document: str) -> str:
    r"""Return an equivalent document of ASCII letters: others stand in strings only, where `\u` says the same."""
    return json_safe("".join(one if one.isascii() else _escapes(one) for one in document))


def _escapes(letter: str) -> str:
    return json.dumps(letter)[1:-1]
