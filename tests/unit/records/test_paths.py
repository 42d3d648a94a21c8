"""Of some paths only whether there is a value counts, and what stands at others is never seen by anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.model import Context, Rejection
from etl.records.columns import in_bulk
from etl.records.content import same_content
from etl.records.derive import derive
from etl.records.identify import identify
from etl.records.paths import cut_out, steady, tree_of, without
from tests.memory.acme import ACME

KEYS = st.sampled_from(["user", "url", "available", "token"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["made-up-credential", "token", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES)
PATHS = st.frozensets(st.lists(KEYS, min_size=1, max_size=3).map(".".join), max_size=3)
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTEXT = Context(connection="made_up", stream="calls", currency="EUR", run_id=7)
DESK = replace(ACME, name="desk", volatile=frozenset({"recording", "user.available", "teams.user.available"}))


def reached(value: Any, path: list[str]) -> list[Any]:
    """Return everything that stands at a path."""
    if not path:
        return [value]
    if isinstance(value, list):
        return [found for one in value for found in reached(one, path)]
    return reached(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else []


@given(value=OBJECTS, paths=PATHS)
def test_nothing_is_left_at_a_path_that_is_cut_out(value: Any, paths: frozenset[str]) -> None:
    """And everything that is not at one stays."""
    left = without(value, tree_of(paths))
    assert not any(reached(left, path.split(".")) for path in paths if isinstance(left, dict))
    assert without(left, tree_of(paths)) == left
    if not any(reached(value, path.split(".")) for path in paths):
        assert left == value


@given(value=OBJECTS, paths=PATHS, escaped=st.booleans())
def test_a_text_is_cut_as_its_value_is(value: Any, paths: frozenset[str], escaped: bool) -> None:
    """Whatever way its keys are written; the text stays the same where nothing is cut out."""
    text = json.dumps(value)
    if escaped:
        text = text.replace('"token"', '"\\u0074oken"')
    cut = cut_out(paths, text.encode())
    assert json.loads(cut) == without(value, tree_of(paths))
    if not any(path.rpartition(".")[2] in text for path in paths) and "\\u" not in text:
        assert cut == text.encode()


def test_a_credential_in_a_record_is_gone_before_the_record_is_seen() -> None:
    """Also one of several elements."""
    text = b'{"id": "a", "access_token": "made-up", "legs": [{"token": "made-up"}, {"token": null, "n": 1}], "token": 5}'
    assert cut_out(frozenset({"access_token", "legs.token"}), text) == b'{"id":"a","legs":[{},{"n":1}],"token":5}'


def test_of_two_paths_the_shorter_counts() -> None:
    """What leads through a path that is cut out leads nowhere."""
    tree = tree_of(["user.token", "user", "user.token.made"])
    assert without({"user": {"token": 1}, "id": 2}, tree) == {"id": 2}
    assert steady({"user": {"token": 1}, "id": 2}, tree) == {"user": True, "id": 2}


@pytest.mark.parametrize(
    ("held", "seen", "same"),
    [
        ({"user": {"id": 1, "available": True}}, {"user": {"available": False, "id": 1}}, True),
        ({"user": {"id": 1, "available": True}}, {"user": {"id": 1, "available": None}}, False),
        ({"user": {"id": 1, "available": True}}, {"user": {"id": 2, "available": True}}, False),
        ({"user": {"available": True}}, {"user": None}, False),
        ({"teams": [{"user": {"available": True}}]}, {"teams": [{"user": {"available": False}}]}, True),
        ({"teams": [{"user": {"available": True}}]}, {"teams": []}, False),
        ({"recording": "https://a.example.com"}, {"recording": "https://b.example.com"}, True),
        ({"recording": None}, {"recording": "https://b.example.com"}, False),
        ({"available": True}, {"available": False}, False),
    ],
)
def test_what_changes_by_itself_is_no_change_of_the_call(held: Any, seen: Any, same: bool) -> None:
    """That there is a value where there was none is one."""
    assert same_content(DESK, held, seen) is same


def test_a_reject_is_known_again_though_its_volatile_values_change() -> None:
    """At the top and further inside."""
    ones = [
        identify(DESK, json.dumps({"id": "a", "recording": word, "user": {"id": 1, "available": word}}).encode(), cleaned=False)
        for word in ("one", "two")
    ]
    assert [one.rejection for one in ones] == [Rejection.BAD_CURSOR] * 2
    assert ones[0].digest == ones[1].digest
    other = identify(DESK, b'{"id": "a", "recording": "one", "user": {"id": 2, "available": "one"}}', cleaned=False)
    assert other.digest != ones[0].digest


def test_a_volatile_path_through_a_list_keeps_many_records_columns() -> None:
    """Nothing is read from what it leads through, so nothing there is looked into, and no note is made of what is new."""
    value = {"id": "a", "created": "2026-03-01T12:00:00Z", "status": "done", "teams": [{"user": {"available": True, "new": 1}}]}
    record = identify(DESK, json.dumps(value).encode(), cleaned=False)
    bulk = in_bulk(DESK, CONTEXT, [record], observed_at=SEEN, detail_due_at=None)
    assert bulk is not None and bulk.calls["status"] == ["completed"]
    assert derive(DESK, CONTEXT, record, observed_at=SEEN).drift == ()
