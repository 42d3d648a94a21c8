"""`etl prune` as its user meets it: what it says, what goes, and that everything works on with what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.sandbox import NO_LIMITS, Sandbox
from tests.acceptance.process import Program, execute, hourly, rows
from tests.acceptance.stage import quiet_history

AGED = """
UPDATE sync.runs SET started_at = started_at - interval '500 days', finished_at = finished_at - interval '500 days';
UPDATE sync.audits SET checked_at = checked_at - interval '500 days'
"""


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program with 12 calls of Salpre, three syncs and two audits, all of them 500 days ago."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path, providers=("salpre",))
        hourly(program, calls=12)
        for command in ("sync", "sync", "audit", "sync", "audit"):
            assert program.run(command).code == 0
        execute(database_url, AGED)
        yield program


def test_old_records_go_and_everything_works_on(program: Program, database_url: str) -> None:
    """The newest run and audit stay, no call is touched, the next sync has nothing to do; a longer retention keeps all."""
    program.environment.update(ETL_RETENTION__RUNS="900d", ETL_RETENTION__AUDITS="900d")
    assert [row["removed"] for row in program.run("prune", "--json").json["relations"]] == [0, 0, 0, 0, 0, 0]
    program.environment.clear()

    told = program.run("prune")
    assert (told.code, told.err) == (0, "")
    assert told.table == [
        ["relation", "older", "than", "removed"],
        ["sync.runs", "400d", "2"],
        ["sync.audits", "400d", "1"],
        ["sync.rejected_records", "400d", "0"],
        ["sync.schema_drift", "400d", "0"],
        ["sync.allowances", "400d", "0"],
        ["jobs.procrastinate_jobs", "7d", "0"],
    ]
    counts = "SELECT (SELECT count(*) FROM calls), (SELECT max(id) FROM sync.runs), (SELECT count(*) FROM sync.runs), count(*) "
    assert rows(database_url, counts + "FROM sync.audits") == [(12, 3, 1, 1)]
    assert program.run("prune", "--json").json == {
        "stopped": False,
        "relations": [
            {"relation": f"sync.{name}", "older_than": "400d", "removed": 0}
            for name in ("runs", "audits", "rejected_records", "schema_drift", "allowances")
        ]
        + [{"relation": "jobs.procrastinate_jobs", "older_than": "7d", "removed": 0}],
        "erased": {"calls": 0, "versions": 0, "rejects": 0},
    }
    assert program.run("status").code == 0
    (again,) = program.run("sync", "--json").json["connections"]
    assert (again["status"], again["inserted"], again["updated"]) == ("succeeded", 0, 0)
