"""A warehouse damaged by hand, as its owner meets it: `etl audit` names what is wrong, `--repair` mends it, with few requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.cast import CAST, NAMES, PROVIDERS
from tests.acceptance.process import Program, content, execute, rows
from tests.acceptance.stage import quiet_history

CHILDREN = {"tuple": "call_participants", "bimpe": "call_messages"}
TABLES = ("public.calls", "public.call_participants", "public.call_messages")
REQUESTS = {"tuple": 20, "bimpe": 30, "salpre": 7, "krosai": 30, "aircall": 30, "twilio": 7}
"""
The most requests that an audit or a repair may send for sixty calls on pages of twenty, of which three are damaged.

Salpre's list gives no total and its last page is full: only an empty page after it shows that the list ends there.
"""

# What a call read again has otherwise: when, by which run, and KrosAI's addresses signed anew.
OBSERVED = (
    *("first_seen_at", "last_changed_at", "changed_at", "observed_at", "detail_observed_at", "last_run_id", "content_hash"),
    *("recording_url", "raw", "detail"),
)


@pytest.fixture(params=PROVIDERS)
def program(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before one provider, with sixty calls loaded that are all over and older than the lookback."""
    history = quiet_history()
    for hours in range(30):
        history.add(request.param, at=history.now - timedelta(hours=30 + hours), number=2)
    with Sandbox(history, limits=NO_LIMITS) as sandbox:
        settings = {request.param: {"per_page": 20}}
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=(request.param,), settings=settings)
        assert program.run("sync").code == 0
        yield program


def whole(program: Program) -> dict[str, list[Any]]:
    """Return every row of the calls and their children."""
    found = content(program.url, without=OBSERVED)
    return {table: found[table] for table in TABLES}


def audited(program: Program, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Audit; the number of requests that it tells is the number that the provider saw."""
    program.sandbox.clear_requests()
    ended = program.run("audit", "--json", *arguments)
    (document,) = ended.json["connections"]
    assert document["requests"] == len(program.sandbox.requests()) <= REQUESTS[program.providers[0]]
    print(f"{program.providers[0]} {arguments}: {document['requests']} requests")  # noqa: T201 - the measured number
    return ended.code, document


def named(document: dict[str, Any], *, mended: bool) -> set[tuple[str, ...]]:
    """Return the calls that are named, with what is wrong with each."""
    assert {one["mended"] for one in document["named"]} == {mended}
    return {(one["call_id"], *one["differs"]) for one in document["named"]}


def test_what_was_damaged_by_hand_is_named_and_mended(program: Program) -> None:
    """A row deleted, a column altered, a row doubled under another id, a child removed; Salpre's count cannot miss the first."""
    (provider,) = program.providers
    before = whole(program)
    ids = [row[0] for row in rows(program.url, "SELECT call_id FROM calls ORDER BY cursor_at, call_id")]
    gone, altered, original = ids[5], ids[30], ids[50]
    parent = rows(program.url, f"SELECT call_id FROM {CHILDREN.get(provider, 'calls')} ORDER BY call_id <> '{ids[20]}', call_id")[
        0
    ][0]
    columns = [
        row[0] for row in rows(program.url, "SELECT attname FROM pg_attribute WHERE attrelid = 'calls'::regclass AND attnum > 0")
    ]
    plain = ", ".join(name for name in columns if name not in ("call_id", "day"))
    for table in ("calls", "call_participants", "call_messages"):
        execute(program.url, f"DELETE FROM {table} WHERE call_id = '{gone}'")
    execute(program.url, f"UPDATE calls SET status = 'failed', to_address = 'nobody' WHERE call_id = '{altered}'")
    execute(program.url, f"INSERT INTO calls (call_id, {plain}) SELECT 'copy', {plain} FROM calls WHERE call_id = '{original}'")
    damage = {(altered, "status", "to_address"), ("copy", "duplicate")}
    if provider in CHILDREN:
        table, key = CHILDREN[provider], CHILDREN[provider].removeprefix("call_").removesuffix("s") + "_id"
        first = f"SELECT min({key}) FROM {table} WHERE call_id = '{parent}'"
        execute(program.url, f"DELETE FROM {table} WHERE call_id = '{parent}' AND {key} = ({first})")
        damage.add((parent, table))
    damaged = whole(program)

    code, found = audited(program)

    missing = {(gone, "missing")} if CAST[provider].totals else set()
    assert (code, found["verdict"]) == (1, "mismatch")
    assert named(found, mended=False) == damage | missing
    assert whole(program) == damaged

    code, mended = audited(program, "--repair")

    assert (code, mended["verdict"]) == (0, "repaired" if CAST[provider].totals else "unverifiable")
    assert named(mended, mended=True) == damage | missing
    assert whole(program) == before

    code, after = audited(program)

    assert (code, after["verdict"]) == (0, "complete" if CAST[provider].totals else "unverifiable")
    assert (after["named"], after["disagreements"]) == ([], 0)
    assert rows(program.url, "SELECT connection, kind FROM sync.runs ORDER BY id") == [
        (NAMES[provider], "sync"),
        (NAMES[provider], "repair"),
    ]
