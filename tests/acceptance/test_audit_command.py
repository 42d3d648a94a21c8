"""`etl audit` on the command line: what it prints, its JSON, its exit codes, and the last proof in `etl status`."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from etl.cli import run
from tests.acceptance.stage import START, Stage

HOUR = timedelta(hours=1)


@pytest.fixture
def synced(stage: Stage) -> Stage:
    """Give a stage whose Tuple connection holds 12 calls, and whose Salpre one holds 2."""
    for hours in range(12):
        stage.history.add("tuple", at=START - (40 + hours) * HOUR)
    stage.history.add("salpre", number=2, at=START - 40 * HOUR)
    stage.sync_all("tuple", "salpre")
    return stage


def command(stage: Stage, *arguments: str) -> int:
    """Run the program on the stage's configuration, and return its exit code."""
    stage.configured()
    return run(["--config", str(stage.folder / "config.toml"), *arguments])


def test_a_mismatch_ends_with_1_and_a_repair_with_0(synced: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The call is named, and so is the command that puts it right."""
    victim = min(synced.ids("tuple"))
    with synced.database.begin() as session:
        for table in ("calls", "call_participants"):
            session.exec_driver_sql(f"DELETE FROM {table} WHERE call_id = %(id)s", {"id": victim})

    assert command(synced, "audit", "pairing") == 1
    shown = capsys.readouterr().out
    assert f"pairing, stream calls, call {victim}: missing\n" in shown
    assert "To put it right: etl audit pairing --repair\n" in shown

    assert command(synced, "audit", "pairing", "--repair", "--json") == 0
    (document,) = json.loads(capsys.readouterr().out)["connections"]
    assert document["verdict"] == "repaired"
    assert document["named"] == [{"stream": "calls", "call_id": victim, "differs": ["missing"], "mended": True}]
    (stream,) = document["streams"]
    assert (stream["provider_count"], stream["warehouse_count"], stream["rejected_count"]) == (12, 12, 0)


def test_status_shows_the_last_proof(synced: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """How many of how many calls, and how long ago; what cannot be proven is said."""
    assert command(synced, "audit", "pairing", "devices") == 0
    capsys.readouterr()

    assert command(synced, "status") == 0
    shown = capsys.readouterr().out
    assert "12 of 12 calls, " in shown
    assert "unverifiable, " in shown

    assert command(synced, "status", "--json") == 0
    rows = {row["connection"]: row for row in json.loads(capsys.readouterr().out)["connections"]}
    assert (rows["pairing"]["audit_verdict"], rows["pairing"]["audit_known_count"]) == ("complete", 12)
    assert (rows["devices"]["audit_verdict"], rows["devices"]["audit_provider_count"]) == ("unverifiable", None)


def test_an_unknown_connection_ends_with_2(synced: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad usage starts nothing."""
    assert command(synced, "audit", "nobody") == 2
    assert synced.rows("SELECT * FROM sync.audits") == []
    capsys.readouterr()
