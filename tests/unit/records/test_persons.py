"""Who is named in a record: a number or an address is one, however and wherever it is written, and no other is the same."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from etl.json_text import decoded
from etl.model import JSON
from etl.records import parse, persons, shield
from etl.records.persons import Kind, Person, by_email, by_phone, texts_in, texts_of
from etl.records.shield import Shield, hash_of

ANNA = Person(Kind.PHONE, "14155550100")
BOB = Person(Kind.EMAIL, "bob@example.com")
DIGITS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)
"""Numbers, valid or not: a provider gives what it has."""

KEY = b"0123456789abcdef0123456789abcdef"
SHIELD = Shield(key=KEY, hashes=frozenset({hash_of(KEY, ANNA), hash_of(KEY, BOB)}))

WIDE = {ord(sign): chr(ord(sign) - 0x20 + 0xFF00) for sign in "0123456789+@"}


def named(value: JSON) -> set[Person]:
    """Return everybody who is named in a record."""
    return named_in(texts_of(value))


def named_in(texts: Iterable[str]) -> set[Person]:
    """Return everybody who is named in texts."""
    return {person for text in texts for person in persons.named(text)}


@pytest.mark.parametrize(
    "written",
    [
        "+14155550100",
        "14155550100",
        "0014155550100",
        "+1 (415) 555-0100",
        "+1\u00a0415\u20115550100",
        "tel:+1-415-555-0100",
        "+1 415.555.0100 ",
        "+14155550100".translate(WIDE),
    ],
)
def test_a_number_is_one_however_it_is_written(written: str) -> None:
    """Signs, blanks, widths and the way to say "international" do not matter."""
    assert by_phone(written) == ANNA
    assert ANNA in named({"from": written})
    assert ANNA in named({"said": f"Call me at {written}, please."})


@pytest.mark.parametrize("text", ["", "completed", "100", "test", "anonymous", "+1415", "1" * 16, "2026-11-27T10:00:00Z"])
def test_what_is_no_number_names_nobody(text: str) -> None:
    """A word, an extension or an instant is not a person, so that nobody is erased for it."""
    assert by_phone(text) is None or ":" in text
    assert named({"value": text, text or "key": None}) == set()


def test_an_address_of_another_kind_counts_as_a_whole() -> None:
    """A device box or a SIP address has a colon in it; its case does not matter."""
    assert by_phone("salprebox:Kitchen") == by_phone("SALPREBOX:kitchen") == Person(Kind.PHONE, "salprebox:kitchen")
    assert Person(Kind.PHONE, "salprebox:kitchen") in named({"from": "salprebox:KITCHEN"})


@pytest.mark.parametrize(
    "written", ["bob@example.com", " Bob@Example.COM ", "BOB@EXAMPLE.COM", "bob@example.com".translate(WIDE)]
)
def test_an_email_address_is_one_however_it_is_written(written: str) -> None:
    """Case, width and blanks around it do not matter."""
    assert by_email(written) == BOB
    for value in ({"email": written}, {written: 1}, [{"a": [f"mailto:{written}"]}], {"said": f"<{written}>, or (later)"}):
        assert BOB in named(value), value


@pytest.mark.parametrize("text", ["bob", "@example.com", "bob@", "bob smith@example.com", ""])
def test_what_is_no_email_address_names_nobody(text: str) -> None:
    """There is something on both sides of the sign, and no blank."""
    assert by_email(text) is None


def test_numbers_stand_in_texts_between_other_numbers() -> None:
    """Of digits in groups every row of groups counts, so that neither what stands before nor after hides a number."""
    assert ANNA in named("order 7 +1 415 555 0100 4 times")
    assert {ANNA, BOB} <= named({"said": "1 415 555 0100 or bob@example.com."})
    assert ANNA not in named({"a": "1415555", "b": "0100"})


def test_a_zero_in_brackets_is_no_digit() -> None:
    """It is dialled at home only, and is often written for those who are."""
    for written in ("+44 (0)20 7946 0100", "+44 20 7946 0100", "+442079460100"):
        assert by_phone("+442079460100") in named({"said": f"Call {written}."}), written


def test_a_number_may_be_a_number_of_json() -> None:
    """Some write it without quotes."""
    assert ANNA in named({"from": 14155550100})


def test_a_uuid_is_nobodys_number_and_may_be_a_part_of_an_address() -> None:
    """Addresses of recordings have one in them; so have e-mail addresses that hide another."""
    uuid = "5fbac9a9-0000-4155-5501-000000000007"
    assert {person.kind for person in named(f"recordings of {uuid} and {uuid}")} == set()
    assert named(f"Write to {uuid}@example.com or {uuid}") == {Person(Kind.EMAIL, f"{uuid}@example.com")}
    assert ANNA in named(f"{uuid} +1 415 555 0100 {uuid}")


def test_a_text_that_is_no_json_is_looked_into_as_it_is() -> None:
    """A reject may be anything."""
    assert SHIELD.names_in_text("{broken, +1 415 555 0100")
    assert SHIELD.names_in_text('{"a": "\\u0062ob\\u0040example.com"}')
    assert not SHIELD.names_in_text('{"a": "\\u0062ob\\u0040example.org", "b": "+1 415 555 0101"')


def test_what_is_remembered_of_texts_is_bounded_and_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again, a text gives the same; a long one is not kept, and when too many are, all are forgotten."""
    monkeypatch.setattr(shield, "TEXTS_REMEMBERED", 3)
    asked = Shield(key=KEY, hashes=SHIELD.hashes)
    texts = ["bob@example.com", "nobody@example.com", "x" * 400, "+14155550100", "", "+14155550101"]

    answers = [[asked.names(text) for text in texts] for _ in range(3)]

    assert answers == [[True, False, False, True, False, False]] * 3
    assert len(asked.told) <= 3
    assert ("bob" in repr(asked), KEY.decode() in repr(asked)) == (False, False)


@given(DIGITS, st.lists(st.sampled_from(" .-()/"), max_size=4))
def test_a_number_survives_every_way_of_writing_it(digits: str, signs: list[str]) -> None:
    """What `parse.address` makes of it, and any signs between its digits, name the same person."""
    wanted = by_phone(digits)
    assert wanted is not None and by_phone(f"+{digits}") == by_phone(f"00{digits}") == by_phone(wanted.name) == wanted
    written = digits[:3] + "".join(signs[:2]) + digits[3:]
    assert wanted in named({"x": f"+{written}"})
    assert by_phone(parse.address(f"+{written}") or "") == by_phone(f"+{written}")


@given(DIGITS, DIGITS)
def test_two_numbers_are_two(one: str, other: str) -> None:
    """Nobody is erased for somebody else: two are one only where both are one to `parse.address`."""
    assume(parse.address(f"+{one}") != parse.address(f"+{other}"))
    assert by_phone(one) != by_phone(other)


@given(st.text(max_size=30), st.text(max_size=30))
@example("\u1e9e", "example.com")
@example("\ufb01n", "EXAMPLE.com")
@example("bob", "example\u200b.com")
def test_normalising_again_changes_nothing(local: str, domain: str) -> None:
    """The form in which an address is compared is its own form."""
    person = by_email(f"{local}@{domain}")
    if person is not None:
        assert by_email(person.name) == person
        assert by_email(person.name.upper()) is None or by_email(f" {person.name} ") == person


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


NUMBERS = st.sampled_from(
    ["14155550100", "14155550100.0", "1.41555501e10", "-14155550100", "1415555010e1", "0.14155550100", "1E99"]
)
PLAIN = st.text(st.characters(blacklist_characters='"\\', blacklist_categories=["Cs", "Cc"]), max_size=12)


@given(
    st.lists(st.lists(JSON_VALUES | PLAIN | st.sampled_from(["bob@example.com", "+1 415 555 0100"]), max_size=4), max_size=5),
    st.data(),
)
def test_a_page_is_searched_as_each_of_its_records_is(page: list[JSON], data: st.DataObject) -> None:
    """Undecoded and all at once, where nothing is escaped: whoever is named in one of the records is found in the page."""
    texts = []
    for record in page:
        text = json.dumps(record, ensure_ascii=False, separators=data.draw(st.sampled_from([(",", ":"), (" , ", " : ")])))
        if data.draw(st.booleans()):
            text = f'{{"a":{data.draw(NUMBERS)},"b":[{data.draw(NUMBERS)},{text}]}}'
        if "\\" not in text and text.isprintable():
            texts.append(text.encode("utf-8"))
    named = [SHIELD.names(decoded(text)) for text in texts]

    assert SHIELD.may_name(texts) or not any(named)
    assert not Shield().may_name(texts)
    assert {person for text in texts for person in named_in(texts_of(decoded(text)))} == named_in(
        texts_in(b"\n".join(texts).decode())
    )


@given(JSON_VALUES)
def test_whatever_a_record_holds_can_be_looked_into(value: object) -> None:
    """Nothing that is JSON makes it fail, and a person put into it is found in it."""
    named(decoded(json.dumps(value).encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()))
    assert BOB in named([value, {"email": "bob@example.com"}])
