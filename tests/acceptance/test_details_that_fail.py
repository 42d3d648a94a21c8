"""Details that never come, over HTTP: the calls are held as listed, nobody is left in the dark, and nothing is taken for gone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from etl.audit.lifecycle import audit_connection, repair_connection
from etl.audit.port import AuditOutcome
from etl.runs.terms import RunStatus
from etl.warehouse.audits import AuditedWarehouse
from etl.wiring import account
from tests.acceptance.cast import NAMES, WITH_DETAIL
from tests.acceptance.process import Program
from tests.acceptance.stage import START, Stage

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAILURES: Mapping[str, Mapping[str, object]] = {"status_500": {}, "html_200": {}, "huge": {"bytes": 3_000_000}}
"""An error, a page of HTML, and an answer over `http.max_response_mb`."""


def calls(stage: Stage, provider: str, number: int) -> list[str]:
    """Add so many calls, one a minute, older than the lookback; return their ids, newest first."""
    return [call_id for minute in range(number) for call_id in stage.history.add(provider, at=START - DAY - minute * MINUTE)]


def path_of(provider: str, call_id: str) -> str:
    """Return the end of the address of a call."""
    return f"/{call_id.removeprefix('c') if provider == 'salpre' else call_id}"


def awaited(stage: Stage, provider: str) -> tuple[int, int, int]:
    """Return how many calls are open, have a detail that is due, and one that cannot be had."""
    row = stage.freshness(provider)
    return row["open_calls"], row["details_due"], row["details_failing"]


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("provider", WITH_DETAIL)
def test_a_detail_that_never_works_is_told(stage: Stage, provider: str, kind: str) -> None:
    """The run succeeds with a finding, the view counts it, and it is asked for less and less often until it works."""
    stage.max_attempts, stage.max_response_mb = 2, 2
    ids = calls(stage, provider, 5)
    stage.sandbox.faults.add(kind, provider=provider, path=path_of(provider, ids[2]), **FAILURES[kind])
    for _ in range(3):
        outcome = stage.sync(provider)
        assert (outcome.status, [finding.code for finding in outcome.findings]) == (RunStatus.SUCCEEDED, ["details_failing"])
        assert outcome.findings[0].text.startswith("1 detail cannot be had")
        assert awaited(stage, provider) == (0, 1, 1)
        stage.history.advance(5 * MINUTE)
    stage.sandbox.clear_requests()
    stage.sync(provider)
    assert [entry for entry in stage.sandbox.requests(provider) if entry.path.endswith(path_of(provider, ids[2]))] == []
    stage.sandbox.faults.clear()
    stage.history.advance(DAY)

    outcome = stage.sync(provider)

    assert (outcome.status, outcome.findings, awaited(stage, provider)) == (RunStatus.SUCCEEDED, [], (0, 0, 0))
    assert [call_id for call_id, row in stage.calls(provider).items() if row["detail"] is None] == []


def test_every_command_tells_of_details_that_cannot_be_had(stage: Stage, tmp_path: Path) -> None:
    """`etl sync` and `etl status`, in words and as JSON."""
    ids = calls(stage, "bimpe", 5)
    stage.history.change("bimpe", ids[4], {"status": "answered"})
    for call_id in ids[1:3]:
        stage.sandbox.faults.add("outage_empty", provider="bimpe", path=path_of("bimpe", call_id))
    stage.sync("bimpe")
    program = Program(sandbox=stage.sandbox, url=stage.url, folder=tmp_path)

    assert "2 details cannot be had" in program.run("status").out
    (row,) = program.run("status", "--json").json["connections"]
    assert (row["open_calls"], row["details_due"], row["details_failing"]) == (1, 3, 2)


def audited(stage: Stage, provider: str, *, repair: bool = False) -> AuditOutcome:
    """Audit, or repair, the connection at a provider."""
    settings, name = stage.configured(), NAMES[provider]
    chosen = settings.choose((name,))
    audit = repair_connection if repair else audit_connection
    with stage.surroundings(AuditedWarehouse) as given:
        return audit(account(name, chosen[name]), connect=stage.connect(settings, chosen, given), given=given)


@pytest.mark.parametrize("provider", ["bimpe", "krosai"])
def test_what_the_list_shows_is_there_whatever_its_detail_answers(stage: Stage, provider: str) -> None:
    """15 of 100 listed calls answer 404 by name: none is buried, by no sync and no repair, and the audit is complete."""
    ids = calls(stage, provider, 100)
    for call_id in ids[20:35]:
        stage.sandbox.faults.add("outage_empty", provider=provider, path=path_of(provider, call_id))
    for _ in range(3):
        assert stage.sync(provider).counters.deleted == 0
        stage.history.advance(DAY)
    first, mended, last = (audited(stage, provider, repair=repair) for repair in (False, True, False))

    assert [one.verdicts[0].verdict for one in (first, mended, last)] == ["complete"] * 3
    assert (stage.ids(provider), awaited(stage, provider)) == (set(ids), (0, 15, 15))
    assert stage.rows("SELECT call_id FROM call_history WHERE deleted") == []


def test_calls_that_were_buried_although_they_are_listed_come_back_for_good(stage: Stage) -> None:
    """An earlier version had buried them: a repair brings them back, and neither it nor a sync adds to the history again."""
    ids = calls(stage, "bimpe", 30)
    for call_id in ids[10:13]:
        stage.sandbox.faults.add("outage_empty", provider="bimpe", path=path_of("bimpe", call_id))
    stage.sync("bimpe")
    with stage.database.begin() as session:
        session.exec_driver_sql("DELETE FROM calls WHERE detail IS NULL")
    stage.history.advance(HOUR)

    verdicts = [audited(stage, "bimpe", repair=True).verdicts[0].verdict for _ in range(2)]
    stage.sync("bimpe")

    assert (verdicts, stage.ids("bimpe")) == (["repaired", "complete"], set(ids))
    assert stage.rows("SELECT call_id FROM call_history WHERE deleted") == []
