"""Lists and details in any sequence, changed or repeated, against the rule in words; on both warehouses."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl.runs.terms import Loaded
from tests.conformance.conftest import Run, opened
from tests.conformance.worlds import World
from tests.memory.acme import account, call

_NUMBERS = count(1)
COLUMNS = {"seconds": "duration_seconds", "why": "end_reason", "transcript": "transcript", "status": "provider_status"}

FIELDS = st.fixed_dictionaries(
    {"status": st.sampled_from(["talking", "done"])},
    optional={
        "seconds": st.sampled_from([None, 300, 301]),
        "why": st.sampled_from([None, "busy", "left"]),
        "transcript": st.sampled_from([None, "", "hello"]),
    },
)
HISTORIES = st.lists(st.tuples(st.sampled_from(["list", "detail"]), FIELDS), max_size=7)
START = {"status": "done", "seconds": 300}


def observe(run: Run, kind: str, fields: dict[str, Any], *, seen: int) -> Loaded:
    """Load what the list or the detail says of the call."""
    record = call("c1", 0, **fields)
    return run.load(record, seen=seen) if kind == "list" else run.load_detail(record, seen=seen)


def expected(last: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return each column's value: of the record seen last, and where that says nothing, of the other. `last` is in that order."""
    row: dict[str, Any] = {}
    for key, column in COLUMNS.items():
        values = [fields.get(key) for fields in last.values()]
        said = [value for value in values if value is not None and value != ""]
        row[column] = said[-1] if said else next((value for value in values if value is not None), None)
    return row


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(history=HISTORIES)
@example(history=[("detail", START | {"seconds": 301}), ("list", START)])
@example(history=[("detail", START | {"why": "left"}), ("list", START | {"why": None, "seconds": 301}), ("detail", START)])
def test_the_record_that_was_seen_last_counts(world: World, history: list[tuple[str, dict[str, Any]]]) -> None:
    """Whether it had changed or not; and what is seen twice in a row is written once."""
    run = opened(world, account(connection=f"seen_{next(_NUMBERS)}"))
    last: dict[str, dict[str, Any]] = {}
    for place, (kind, fields) in enumerate([("list", START), *history]):
        observe(run, kind, fields, seen=10 * place)
        last.pop(kind, None)
        last[kind] = fields
        row = run.call("c1")
        assert {column: row[column] for column in COLUMNS.values()} == expected(last)

        assert observe(run, kind, fields, seen=10 * place + 1) == Loaded(unchanged=1, open_ids=run_open(kind, row))
        assert run.call("c1") == row


def run_open(kind: str, row: dict[str, Any]) -> frozenset[str]:
    """Return what a list page says of open calls: whether this one is."""
    return frozenset({"c1"}) if kind == "list" and row["status"] == "in_progress" else frozenset()
