"""Bodies become records, byte for byte where they are valid and mended where providers send what no database takes."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.http.body import Body, Unexpected, Unreadable, WebPage, read_error, read_list, read_one
from etl.model import Drift, DriftNote

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
lossy_text = st.text(st.characters() | st.sampled_from(["\x00", "\ud800", "\udfff", "\\", '"', "\x07", "\ue000", "😀"]))
lossy_values = st.recursive(
    st.none() | st.integers() | st.floats() | lossy_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(lossy_text, inner, max_size=4),
    max_leaves=12,
)


def clean(value: Any) -> Any:
    """What a value of Python's lenient decoder should have become."""
    if isinstance(value, str):
        return "".join("\ufffd" if char == "\x00" or "\ud800" <= char <= "\udfff" else char for char in value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    if isinstance(value, dict):
        return {clean(key): clean(inner) for key, inner in value.items()}
    return value


@given(st.lists(values), st.booleans())
def test_a_valid_list_survives_value_for_value(records: list[Any], ascii_only: bool) -> None:
    """Every record is its own JSON text, and none counts as cleaned."""
    body = json.dumps(records, ensure_ascii=ascii_only).encode()

    read = read_list(body, ())

    assert (records, frozenset()) == ([json.loads(record) for record in read.records], read.cleaned)


@given(st.lists(values), st.dictionaries(text, values), st.booleans())
def test_a_list_under_a_key_survives_with_the_other_fields(records: list[Any], others: dict[str, Any], pretty: bool) -> None:
    """The other fields are decoded; the list is not among them."""
    others.pop("data", None)
    body = json.dumps(others | {"data": records}, indent=2 if pretty else None).encode()

    read = read_list(body, ("data",))

    assert (records, others) == ([json.loads(record) for record in read.records], read.fields)


@given(st.lists(lossy_values), st.booleans())
def test_what_no_database_takes_is_mended(records: list[Any], ascii_only: bool) -> None:
    """The records are those of a lenient decoder, with U+FFFD for what was lost and null for what is no number."""
    body = json.dumps(records, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    lenient = json.loads(body.decode("utf-8", "surrogatepass"))
    if not ascii_only:  # three bytes of broken UTF-8 stand for one surrogate
        lenient = json.loads(body.decode("utf-8", "replace"))

    read = read_list(body, ())

    assert clean(lenient) == [json.loads(record) for record in read.records]
    assert not any(b"\\u0000" in record.replace(b"\\\\", b"") for record in read.records)


def test_control_characters_stay_and_lost_ones_are_replaced_in_their_record_only() -> None:
    """Only the record that lost something counts as cleaned; every number keeps its digits."""
    body = b'[{"a": "x\ty\x01"}, {"n": 12345678901234567890.10, "m": 1e400}, {"b": "\\u0000\\ud83d\\ude00\\ud83d"}, {"c": NaN}]'

    assert Body(
        records=(
            b'{"a": "x\\u0009y\\u0001"}',
            b'{"n": 12345678901234567890.10, "m": 1e400}',
            '{"b": "\ufffd\\ud83d\\ude00\ufffd"}'.encode(),
            b'{"c": null}',
        ),
        cleaned=frozenset({2, 3}),
    ) == read_list(body, ())


def test_broken_utf8_is_replaced() -> None:
    """A byte that is no UTF-8 becomes U+FFFD."""
    assert Body(records=('"M\ufffdller"'.encode(), b'"ok"'), cleaned=frozenset({0})) == read_list(b'["M\xfcller", "ok"]', ())


def test_an_escaped_backslash_is_no_escape() -> None:
    """A backslash and the text u0000 are two things that may stand beside each other."""
    assert Body(records=(rb'"\\u0000 \\ud800"',)) == read_list(rb'["\\u0000 \\ud800"]', ())


def test_the_first_key_that_holds_a_list_counts() -> None:
    """A key that is null or absent gives way to the next."""
    assert read_list(b'{"calls": null, "data": [1]}', ("calls", "data")).records == (b"1",)


def test_one_object_is_found_under_its_key_or_is_the_body() -> None:
    """Either way it is the only record."""
    assert (
        Body(records=(b'{"id":1}',), fields={"status": "success"}, envelope={"status": "success"}),
        Body(records=(b'{"id": 1e999}',), envelope={"id": None}),
    ) == (read_one(b'{"status":"success","data": {"id":1}}', "data"), read_one(b' {"id": 1e999} ', None))


def test_fields_beyond_all_floats_are_null() -> None:
    """A total that is no number says nothing."""
    assert read_list(b'{"a": 1e999, "b": -Infinity, "data": []}', ("data",)).fields == {"a": None, "b": None}


@pytest.mark.parametrize("body", [b'{"data": {}}', b"[]", b"3", b'"data"', b"null", b'{"calls": null}'])
def test_json_without_the_list_is_unexpected(body: bytes) -> None:
    """It is readable, so what it says can be looked at."""
    with pytest.raises(Unexpected) as raised:
        read_list(body, ("data",))

    assert json.loads(body) == raised.value.value


@pytest.mark.parametrize("body", [b'{"data": []}', b"{}", b"[]", b'{"data": null}'])
def test_json_without_the_object_is_unexpected(body: bytes) -> None:
    """As with a list."""
    with pytest.raises(Unexpected):
        read_one(body, "data")


def test_a_body_that_leaves_no_character_to_mend_with_is_given_up() -> None:
    """It uses every private character there is, and holds a NUL besides."""
    with pytest.raises(Unreadable):
        read_list(json.dumps(["".join(map(chr, range(0xE000, 0xF900))) + "\x00"], ensure_ascii=False).encode(), ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"[1",
        b'["a',
        b'[{"a": 1}',
        b"[1] 2",
        b"{NaN: 1}",
        b"[01]",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[1]\x00",
    ],
)
def test_what_is_cut_or_broken_is_never_repaired(body: bytes) -> None:
    """Lenient is not credulous."""
    with pytest.raises(Unreadable):
        read_list(body, ())


@given(st.lists(lossy_values, min_size=1), st.data())
def test_no_prefix_of_a_list_is_a_list(records: list[Any], data: st.DataObject) -> None:
    """A truncated body is unreadable wherever it was cut."""
    body = json.dumps(records).encode()
    cut = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(Unreadable):
        read_list(body[:cut], ())


def test_a_web_page_is_told_from_other_text() -> None:
    """So the message can name a proxy."""
    with pytest.raises(WebPage):
        read_list(b"\n<!doctype html><p>Sign in", ())


def test_a_byte_order_mark_is_passed_over() -> None:
    """Some servers send one."""
    assert read_list(b"\xef\xbb\xbf[1]", ()).records == (b"1",)


def test_an_error_body_is_decoded_or_none() -> None:
    """An error may come without JSON."""
    assert [
        read_error(b'{"message": ["a", "b"]}'),
        read_error(b"<html>"),
        read_error(b""),
    ] == [{"message": ["a", "b"]}, None, None]


# ── Read as leniently as the best clients read ──────────────────────────────────────────────────────────────────────


def test_null_in_the_place_of_a_list_is_an_empty_list() -> None:
    """It proves less than one; that it departs from the documents is noted. A later key that holds a list comes first."""
    assert [read_list(b'{"data": null, "total": 0}', ("calls", "data")), read_list(b" null\n", ())] == [
        Body(
            records=(),
            fields={"total": 0},
            envelope={"total": 0},
            departures=frozenset({DriftNote("data", Drift.WRONG_TYPE, "null")}),
            stated=False,
        ),
        Body(records=(), departures=frozenset({DriftNote("(answer).list", Drift.WRONG_TYPE, "null")}), stated=False),
    ]


@pytest.mark.parametrize(
    ("value", "records"),
    [
        (b'{"2": {"id": 7}, "5": {"id": 9}}', (b'{"id": 7}', b'{"id": 9}')),
        (b'{ "0" : null }', (b"null",)),
    ],
)
def test_an_object_of_numbered_records_in_the_place_of_a_list_is_one(value: bytes, records: tuple[bytes, ...]) -> None:
    """As languages write it that know no difference; it is noted. An object of anything else is no list."""
    assert read_list(b'{"data": %s, "total": 2}' % value, ("data",)) == Body(
        records=records,
        fields={"total": 2},
        envelope={"total": 2},
        departures=frozenset({DriftNote("data", Drift.WRONG_TYPE, "object")}),
    )
    with pytest.raises(Unexpected):
        read_list(b'{"data": {"0": {"id": 7}, "message": "no"}}', ("data",))


@pytest.mark.parametrize("before", ["\n", "\ufeff", "\n\ufeff", "\ufeff\ufeff", " \ufeff\r\n\ufeff\t"])
def test_blanks_and_byte_order_marks_before_the_json_are_passed_over(before: str) -> None:
    """In any number and order; a mark is noted."""
    noted = frozenset({DriftNote("(answer).byte_order_mark", Drift.CLEANED_TEXT, "string")})
    marks = noted if "\ufeff" in before else frozenset()

    assert Body(records=(b'"\xc3\xa9"',), departures=marks) == read_list(f'{before}["é"]'.encode(), ())


@pytest.mark.parametrize(
    ("charset", "found"),
    [
        ("ISO-8859-1", "iso8859-1"),
        ("latin1", "iso8859-1"),
        ('"windows-1252"', "cp1252"),
        ("iso-8859-15", "iso8859-15"),
        ("windows-1251", "cp1251"),
        ("Shift_JIS", "shift_jis"),
        ("iso-2022-jp", "iso2022_jp"),
        ("utf-16", "utf-16"),
    ],
)
def test_the_declared_charset_is_honoured(charset: str, found: str) -> None:
    """No letter is lost, and the departure from UTF-8 is noted."""
    letters = {"cp1251": "Привет", "shift_jis": "電話", "iso2022_jp": "電話"}.get(found, "Müller, café")
    body = f'["{letters}"]'.encode(charset.strip('"'))

    read = read_list(body, (), content_type=f"application/json; charset={charset}")

    noted = frozenset() if found == "utf-16" else frozenset({DriftNote("(answer).charset", Drift.OUT_OF_RANGE, found)})
    assert Body(records=(f'"{letters}"'.encode(),), departures=noted) == read


@pytest.mark.parametrize("declared", ["charset=ISO-8859-1", "charset=x-unknown", "charset=base64", "charset=", "charset=utf8"])
def test_what_is_utf8_is_read_as_utf8_whatever_is_declared(declared: str) -> None:
    """Servers that declare ISO-8859-1 by habit are many."""
    assert Body(records=('"Müller"'.encode(),)) == read_list('["Müller"]'.encode(), (), content_type=f"text/plain; {declared}")


def test_what_latin_1_does_not_have_is_taken_from_what_is_meant() -> None:
    """Typographic quotes in what is declared ISO-8859-1 are those of Windows; bytes that even that lacks stay as they are."""
    assert [
        read_list(body, (), content_type="application/json; charset=iso-8859-1").records
        for body in (b'["\x93hi\x94"]', b'["\xfc\x81"]')
    ] == [('"“hi”"'.encode(),), ('"ü\x81"'.encode(),)]


@pytest.mark.parametrize("escape", [rb"\x41", rb"\-", rb"\u12", rb"\uZZZZ", b"\\\x07", rb"\'"])
def test_a_backslash_that_begins_no_escape_stands_for_itself(escape: bytes) -> None:
    """One bad escape does not cost the page: its record counts as cleaned, the others are as they were."""
    read = read_list(b'["a' + escape + b'b", "ok"]', ())

    assert (json.loads(read.records[0]), read.records[1:], read.cleaned) == (
        "a" + escape.decode() + "b",
        (b'"ok"',),
        frozenset({0}),
    )


def deep(levels: int, kernel: str = "1") -> bytes:
    """An object so many levels deep."""
    return b'{"id": "deep", "x": ' + b'[{"k":' * (levels // 2) + kernel.encode() + b"}]" * (levels // 2) + b"}"


@pytest.mark.parametrize("levels", [900, 1_500, 2_500, 30_000])
@pytest.mark.parametrize("pretty", [False, True])
def test_valid_json_of_any_depth_is_read(levels: int, pretty: bool) -> None:
    """Byte for byte, beside its neighbours, and the interpreter's limit stays what it was."""
    limit, text = sys.getrecursionlimit(), deep(levels)
    text = text.replace(b":", b" :\n ") if pretty else text

    read = read_list(b'{"total": 2, "data": [' + text + b', {"id": 2}]}', ("data",))

    assert Body(records=(text, b'{"id": 2}'), fields={"total": 2}, envelope={"total": 2}) == read
    assert read_one(text, None).records == (text,)
    assert sys.getrecursionlimit() == limit


def test_what_is_deep_is_mended_too() -> None:
    """A lost character, and a number that JSON does not have, 2,500 levels down."""
    read = read_list(b"[" + deep(2_500, '["\\u0000", NaN]') + b', {"id": 2}]', ())

    assert Body(records=(deep(2_500, '["\ufffd", null]'), b'{"id": 2}'), cleaned=frozenset({0})) == read


@pytest.mark.parametrize(
    "broken",
    [deep(2_500)[:-1], deep(2_500) + b"]", deep(2_500, "1 2"), deep(2_500, "NaN: 1"), deep(2_500).replace(b"}]}", b"]}}", 1)],
)
def test_what_is_deep_and_broken_is_not_repaired(broken: bytes) -> None:
    """Depth makes nobody credulous."""
    with pytest.raises(Unreadable):
        read_list(b"[" + broken + b"]", ())


@given(st.lists(lossy_values, min_size=1), st.integers(0, 400), st.data())
def test_no_prefix_of_a_deep_list_is_a_list(records: list[Any], levels: int, data: st.DataObject) -> None:
    """A truncated body is unreadable, however deep it was."""
    body = json.dumps([*records, json.loads(deep(levels))]).encode()
    cut = data.draw(st.integers(0, len(body) - 1))

    with pytest.raises(Unreadable):
        read_list(body[:cut], ())
