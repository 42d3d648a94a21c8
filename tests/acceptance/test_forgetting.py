"""`etl forget`: somebody is gone from every table and file, counts still prove, and nothing that is read brings them back."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from etl.cli import run
from etl.runs.terms import Want
from tests.acceptance.cast import NAMES
from tests.acceptance.stage import START, Stage

HOUR = timedelta(hours=1)
KEY = "0123456789abcdef0123456789abcdef"
PHONE, EMAIL = "+14155550100", "anna@example.com"
TIMES = {"joined_at": "2026-02-27T19:00:00Z", "left_at": "2026-02-27T19:30:00Z"}
PEOPLE = [
    {"id": 1, "user": {"email": EMAIL.upper(), "name": "Anna"}, **TIMES},
    {"id": 2, "user": {"email": "bob@example.com", "name": "Bob"}, **TIMES},
]
TRACES = ("14155550100", "415) 555-0100", "anna@", "ANNA@", "Anna")

TEXTS = """
SELECT format('SELECT %%L, t::text FROM %%I.%%I AS t', schemaname || '.' || tablename, schemaname, tablename)
FROM pg_tables WHERE schemaname IN ('public', 'sync')
UNION ALL
SELECT format('SELECT %%L, t::text FROM %%I.%%I AS t', schemaname || '.' || viewname, schemaname, viewname)
FROM pg_views WHERE schemaname IN ('public', 'masked')
"""


def command(stage: Stage, *arguments: str, key: str | None = KEY) -> int:
    """Run the program on the stage's configuration, with or without a key, and return its exit code."""
    stage.configured()
    path = stage.folder / "config.toml"
    if key is not None:
        text = path.read_text(encoding="utf-8").replace("[warehouse]", f'[warehouse]\nerasure_key = "{key}"')
        path.write_text(text, encoding="utf-8")
    return run(["--config", str(path), *arguments])


def traces(stage: Stage) -> list[tuple[str, str]]:
    """Return every row of every table and view in which Anna stands."""
    with stage.database.begin() as session:
        queries = list(session.exec_driver_sql(TEXTS, {}).scalars())
        rows = [tuple(row) for query in queries for row in session.exec_driver_sql(query.replace("%", "%%"), {})]
    return [(name, text) for name, text in rows if any(trace in text for trace in TRACES)]


def spoil(stage: Stage, statement: str) -> None:
    """Change rows behind the program's back."""
    with stage.database.begin() as session:
        session.exec_driver_sql(statement)


def held(stage: Stage) -> list[dict[str, Any]]:
    """Return what counts prove by, of every call, and which transaction wrote it."""
    return stage.rows("SELECT connection, call_id, status, occurred_at, ended_at, xmin::text FROM calls ORDER BY 1, 2")


@pytest.fixture
def met(stage: Stage) -> Stage:
    """Give a stage on which Anna was met everywhere: in lists, details, texts, old versions, deleted calls and rejects."""
    history = stage.history
    calls = {name: [history.add(name, at=START - (40 + number) * HOUR)[0] for number in range(4)] for name in NAMES}
    history.change("tuple", calls["tuple"][0], {"call_participations": PEOPLE})
    history.change("bimpe", calls["bimpe"][0], {"source": "+1 (415) 555-0100"})
    said = [{"id": "m", "role": "user", "message": f"Write to {EMAIL}."}]
    history.change("bimpe", calls["bimpe"][1], {"conversation_logs": said})
    history.change("salpre", calls["salpre"][0], {"to": PHONE, "variables": {"name": "Anna"}})
    history.change("krosai", calls["krosai"][0], {"from_number": PHONE, "transcript": "This is Anna."})
    history.change("krosai", calls["krosai"][1], {"to_number": PHONE})
    history.change("krosai", calls["krosai"][2], {"from_number": PHONE, "created_at": "never"})
    stage.sync_all()
    history.change("krosai", calls["krosai"][0], {"hangup_cause": "USER_HANGUP"})
    history.delete("krosai", calls["krosai"][1])
    history.advance(HOUR)
    stage.sync_all(want=Want(full=True))
    spoil(stage, f"INSERT INTO people VALUES ('{EMAIL}', 'Anna', 'Sales'), ('bob@example.com', 'Bob', 'Sales')")
    spoil(stage, f"INSERT INTO numbers (number, name) VALUES ('{PHONE}', 'Anna'), ('+14155550199', 'Bob')")
    spoil(stage, f"UPDATE agents SET display_name = 'Box of {PHONE}' WHERE agent_id = (SELECT min(agent_id) FROM agents)")
    spoil(stage, f"UPDATE sync.runs SET error_message = 'It refused {PHONE}' WHERE id = (SELECT min(id) FROM sync.runs)")
    return stage


def test_somebody_is_forgotten_everywhere_and_never_comes_back(met: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts still prove, reading all again changes nothing, and neither replay, repair nor details bring anything back."""
    before = {name for name, _ in traces(met)}
    assert {
        "public.calls",
        "public.call_history",
        "public.call_participants",
        "public.call_messages",
        "sync.person_daily",
    } < before
    assert {"sync.rejected_records", "public.people", "public.numbers", "public.agents", "sync.runs"} < before
    counted = met.rows("SELECT connection, count(*), sum(duration_seconds), sum(cost) FROM calls GROUP BY 1 ORDER BY 1")
    rejects = met.rows("SELECT connection, stream, reason FROM sync.rejected_records ORDER BY 1, 2, 3")
    spoken = "connection <> 'pairing' AND call_id IN (SELECT call_id FROM call_versions v WHERE v.raw::text ~ '1.*555.*0100')"
    versions = met.rows(f"SELECT count(*) FROM call_history WHERE {spoken}")[0]["count"]
    assert command(met, "audit", "pairing", "telephony") == 0
    capsys.readouterr()

    assert command(met, "forget", "--phone", "+1 415-555-0100", "--yes", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {name: document["receipt"][name] for name in ("asked", "calls", "versions", "others", "deleted")} == {
        "asked": "phone",
        "calls": 3,
        "versions": versions,
        "others": 3,
        "deleted": 0,
    }
    assert command(met, "forget", "--email", EMAIL, "--yes") == 0
    shown = capsys.readouterr()
    assert traces(met) == []
    assert not any(trace in shown.out + shown.err for trace in TRACES)
    assert met.rows("SELECT connection, count(*), sum(duration_seconds), sum(cost) FROM calls GROUP BY 1 ORDER BY 1") == counted
    assert met.rows("SELECT connection, stream, reason FROM sync.rejected_records ORDER BY 1, 2, 3") == rejects
    assert met.rows("SELECT email, name FROM people") == [{"email": "bob@example.com", "name": "Bob"}]

    met.database.erasure_key = KEY.encode()
    now = held(met)
    spoil(met, "UPDATE calls SET detail_due_at = now() - interval '1 day' WHERE detail IS NOT NULL")
    again = held(met)
    outcomes = met.sync_all(want=Want(full=True))
    assert {name: (one.counters.inserted, one.counters.updated, one.error) for name, one in outcomes.items()} == dict.fromkeys(
        outcomes, (0, 0, None)
    )
    assert [row["call_id"] for row in now] == [row["call_id"] for row in again]
    capsys.readouterr()
    assert command(met, "sync", "--full", "--dry-run", "--json") == 0
    assert {one["updated"] for one in json.loads(capsys.readouterr().out)["connections"]} == {0}
    assert command(met, "replay") == 0
    assert command(met, "audit", "--repair") == 0
    assert command(met, "audit", "pairing", "telephony") == 0
    assert traces(met) == []
    assert met.rows("SELECT connection, stream, reason FROM sync.rejected_records ORDER BY 1, 2, 3") == rejects
    assert met.rows("SELECT DISTINCT kind FROM sync.runs WHERE kind = 'erase'") == [{"kind": "erase"}]


def test_what_was_erased_comes_in_again_without_what_it_says(stage: Stage) -> None:
    """A list, a detail and a new call are three ways in; each leaves a row that only counts."""
    history = stage.history
    (erased,) = history.add("krosai", at=START - 40 * HOUR)
    history.change("krosai", erased, {"from_number": "+14155550142", "transcript": "This is Cyd."})
    stage.sync("krosai")
    assert command(stage, "forget", "--call", NAMES["krosai"], erased, "--yes") == 0
    assert command(stage, "forget", "--phone", PHONE, "--yes") == 0
    assert command(stage, "forget", "--email", EMAIL, "--yes") == 0
    stage.database.erasure_key = KEY.encode()
    (pairing,) = history.add("tuple", at=START - 39 * HOUR)  # of which no detail is asked for, that might set it right
    history.change("tuple", pairing, {"call_participations": PEOPLE})
    stage.sync("tuple")
    history.change("krosai", erased, {"hangup_cause": "USER_HANGUP", "transcript": "This is Cyd again."})
    (later,) = history.add("krosai", at=START - 39 * HOUR)
    history.change("krosai", later, {"from_number": PHONE, "transcript": "This is Anna."})

    stage.sync("krosai", want=Want(full=True))
    spoil(stage, "UPDATE calls SET detail_due_at = '2026-01-01Z'")
    stage.sync("krosai")

    shown = (
        "SELECT call_id, from_address, transcript, status IS NOT NULL AS counts FROM calls WHERE provider = 'krosai' "
        "ORDER BY cursor_at"
    )
    assert stage.rows(shown) == [
        {"call_id": call_id, "from_address": None, "transcript": None, "counts": True} for call_id in (erased, later)
    ]
    with stage.database.begin() as session:  # one text a row: a row's own `str` leaves out the middle of a long value
        asked = "SELECT c::text FROM calls c UNION ALL SELECT h::text FROM call_history h"
        texts = session.exec_driver_sql(asked).scalars().all()
    assert len(texts) >= 3
    assert not [text for text in texts if any(trace in text for trace in ("0142", "Cyd", "0100", *TRACES))]


def seen(stage: Stage, *columns: str) -> dict[str, tuple[Any, ...]]:
    """Return columns of KrosAI's calls by id."""
    return {name: tuple(row[column] for column in columns) for name, row in stage.calls("krosai").items()}


def test_one_call_is_forgotten_and_others_are_not(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """By its id: what the other calls of the same numbers say stays. A connection that was never synced is an error."""
    first, second = stage.history.add("krosai", number=2, at=START - 40 * HOUR)
    for call in (first, second):
        stage.history.change("krosai", call, {"from_number": PHONE, "transcript": "This is Anna."})
    stage.sync("krosai")
    kept = seen(stage, "from_address", "transcript", "raw")[second]

    assert command(stage, "forget", "--call", "telephony", first, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["receipt"]["calls"] == 1
    assert command(stage, "forget", "--call", "nobody", first, "--yes") == 2

    stage.history.change("krosai", first, {"from_number": "+14155550111", "transcript": "Anna again"})
    stage.database.erasure_key = KEY.encode()
    outcome = stage.sync("krosai", want=Want(full=True))
    assert (outcome.counters.updated, outcome.error) == (0, None)
    assert seen(stage, "from_address", "transcript") == {first: (None, None), second: (PHONE, "This is Anna.")}
    assert seen(stage, "from_address", "transcript", "raw")[second] == kept
    assert stage.rows("SELECT kind FROM sync.erasures") == []


def test_every_command_that_writes_needs_the_key(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The right one, once somebody was forgotten; who only reads does not. Nothing is said of the key."""
    stage.history.add("krosai", at=START - 40 * HOUR)
    stage.sync("krosai")
    assert command(stage, "replay") == 0
    assert command(stage, "forget", "--phone", PHONE, "--yes") == 0
    other = KEY[::-1]
    for arguments in (("sync",), ("audit",), ("replay",), ("prune",), ("rollups", "rebuild"), ("migrate",), ("worker", "--once")):
        assert command(stage, *arguments, key=other) == 2, arguments
        stage.configured()
        assert run(["--config", str(stage.folder / "config.toml"), *arguments]) == 2, arguments
    assert command(stage, "status", key=other) == 0
    assert command(stage, "forget", "--email", EMAIL, "--yes", key=other) == 2
    shown = capsys.readouterr()
    assert "warehouse.erasure_key is not set" in shown.err and "not the key that they were erased with" in shown.err
    assert KEY not in shown.out + shown.err and other not in shown.out + shown.err
    assert command(stage, "sync", "telephony") == 0


def test_check_says_what_is_with_the_key(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing while nobody was forgotten; then whether it is the right one, before anything that writes fails of it."""
    stage.providers = ("krosai",)
    stage.sync("krosai")
    assert command(stage, "check") == 0 and "erasure key" not in capsys.readouterr().out
    assert command(stage, "forget", "--phone", PHONE, "--yes") == 0
    assert command(stage, "check") == 0
    assert "ok      erasure key: 1 person forgotten, 0 calls erased" in capsys.readouterr().out
    for key, said in ((KEY[::-1], "is not the key"), (None, "is not set")):
        assert command(stage, "check", key=key) == 2
        shown = capsys.readouterr()
        assert "failed  erasure key" in shown.out and f"warehouse.erasure_key {said}" in shown.err


def test_what_is_not_said_clearly_is_not_done(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody, too many, somebody who cannot be found, or nobody who could be asked whether it is meant: exit code 2."""
    stage.sync("krosai")
    for arguments in (
        (),
        ("--phone", "100"),
        ("--email", "anna"),
        ("--phone", PHONE, "--email", EMAIL),
        ("--phone", PHONE),
        ("--from", "no-such-file"),
    ):
        assert command(stage, "forget", *arguments) == 2, arguments
        assert "Nothing was started" in capsys.readouterr().err
    assert stage.rows("SELECT * FROM sync.erasures") == stage.rows("SELECT * FROM sync.erasure_receipts") == []


def test_a_list_carries_erasures_to_an_older_warehouse(met: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """As a restored backup that does not know of them: what it brought back goes, and stays away."""
    path = met.folder / "erasures.json"
    assert command(met, "forget", "--phone", PHONE, "--yes") == 0
    assert command(met, "forget", "--email", EMAIL, "--yes") == 0
    assert command(met, "forget", "--list", str(path)) == 0
    assert path.stat().st_mode & 0o077 == 0
    assert not any(trace in path.read_text(encoding="utf-8") for trace in TRACES)
    spoil(met, "DELETE FROM sync.erasures")
    spoil(met, "DELETE FROM sync.erased_calls")
    spoil(met, "DELETE FROM sync.erasure_key")
    spoil(met, "UPDATE sync.connections SET erasures = 0, erasures_done = 0")
    met.sync_all(want=Want(full=True))
    assert traces(met) != []

    assert command(met, "forget", "--from", str(path), "--yes", key=KEY[::-1]) == 2
    assert command(met, "forget", "--from", str(path), "--yes", "--json") == 0
    assert traces(met) == []
    met.database.erasure_key = KEY.encode()
    met.database.erased.clear()
    assert {outcome.counters.updated for outcome in met.sync_all(want=Want(full=True)).values()} == {0}
    assert traces(met) == []
    capsys.readouterr()


def test_calls_are_erased_by_their_age_and_stay_so(met: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole, or what was said in them; without a key; also when they are read again, and when the setting is taken out."""
    met.settings["krosai"] = {"erase_calls_after": "1d"}
    met.settings["bimpe"] = {"erase_transcripts_after": "1d"}
    met.configured()
    program = ["--config", str(met.folder / "config.toml")]
    before = met.rows("SELECT connection, status, count(*) FROM calls GROUP BY 1, 2 ORDER BY 1, 2")
    assert run([*program, "prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"]["calls"] > 4

    def left() -> list[dict[str, Any]]:
        old = "connection = 'telephony' AND (from_address IS NOT NULL OR transcript IS NOT NULL)"
        return met.rows(
            f"SELECT count(*) FILTER (WHERE {old}) AS old, "
            "count(*) FILTER (WHERE connection = 'voice' AND from_address IS NOT NULL) AS addresses, "
            "(SELECT count(*) FROM call_messages) AS messages FROM calls"
        )

    assert left() == [{"old": 0, "addresses": 4, "messages": 0}]
    assert met.rows("SELECT count(*) FROM call_history WHERE connection = 'telephony' AND raw ? 'from_number'") == [{"count": 0}]
    assert met.rows("SELECT connection, status, count(*) FROM calls GROUP BY 1, 2 ORDER BY 1, 2") == before
    met.settings.clear()
    spoil(met, "UPDATE calls SET detail_due_at = now() - interval '1 day' WHERE detail IS NOT NULL")
    assert {outcome.counters.updated for outcome in met.sync_all(want=Want(full=True)).values()} == {0}
    assert left() == [{"old": 0, "addresses": 4, "messages": 0}]
    assert run([*program, "prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["erased"] == {"calls": 0, "versions": 0, "rejects": 0}


def test_calls_are_deleted_at_their_provider_only_if_asked_for_twice(met: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the person, where an API offers it; elsewhere it is said. What is gone there is gone with the next sync."""
    wanted = {call.id for call in met.history.living("krosai") if PHONE in json.dumps(met.history.detail("krosai", call.id))}
    wanted &= met.ids("krosai")
    assert command(met, "forget", "--phone", PHONE, "--at-provider", "--yes") == 2
    assert "nothing was deleted at a provider" in capsys.readouterr().err
    assert not [entry for name in NAMES for entry in met.sandbox.requests(name) if entry.method == "DELETE"]

    assert command(met, "forget", "--phone", PHONE, "--at-provider", "--yes", "--yes", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    deletions = [entry.path.rpartition("/")[2] for entry in met.sandbox.requests("krosai") if entry.method == "DELETE"]
    gone = {"connection": "telephony", "deleted": len(deletions), "left": 0, "error": None}
    assert gone in document["at_provider"] and document["receipt"]["deleted"] == len(deletions)
    assert wanted <= set(deletions)
    assert not wanted & met.truth_ids("krosai")
    assert {one["connection"] for one in document["at_provider"] if one["left"]} == {"voice", "devices"}
    assert not [
        entry for name in ("bimpe", "salpre", "tuple") for entry in met.sandbox.requests(name) if entry.method == "DELETE"
    ]

    met.database.erasure_key = KEY.encode()
    met.sync("krosai", want=Want(full=True))
    assert not wanted & met.ids("krosai")
    assert not any("14155550100" in text for _, text in traces(met))
