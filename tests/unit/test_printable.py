"""What reaches a terminal: nothing that it would obey instead of showing it."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.printable import json_safe, number_of, printable, printable_lines

TEXTS = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 日本, 👩‍💻", "plain, größer, 日本, 👩‍💻"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("ok\rfailed", r"ok\rfailed"),
        ("one\ntwo\ttwo", r"one\ntwo\ttwo"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_a_text_as_it_reads(text: str, shown: str) -> None:
    """What a terminal obeys is shown by its number; letters of every script stay."""
    assert printable(text) == shown


@given(TEXTS)
def test_nothing_is_obeyed(text: str) -> None:
    """No text leaves a control character, a mark of the reading order or a line end."""
    assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") or c in "\u202e\u2066" for c in printable(text))
    assert printable_lines(text).replace("\n", "") == printable(text.replace("\n", ""))


@given(TEXTS)
def test_a_document_means_the_same(text: str) -> None:
    """JSON stays JSON, with the same meaning."""
    safe = json_safe(json.dumps({"text": text}, ensure_ascii=False, indent=2))
    assert json.loads(safe) == {"text": text}
    assert printable_lines(safe) == safe


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [(0, ("call",), "0 calls"), (1, ("call",), "1 call"), (2000, ("call",), "2,000 calls"), (2, ("copy", "copies"), "2 copies")],
)
def test_one_is_no_plural(number: int, words: tuple[str, ...], said: str) -> None:
    """A number reads as a sentence has it."""
    assert number_of(number, *words) == said
