"""`etl dashboards`: what its charts ask is answered to a masked role; and `make dashboards` takes no other."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from dashboards.serve.source import of_database
from etl.errors import UsageError
from etl.sandbox import NO_LIMITS, Sandbox
from etl.superset.definitions import Chart, read
from etl.warehouse.database import Database
from etl.warehouse.privacy.granting import Rights, grant
from tests.acceptance.process import Program, execute, hourly, rows
from tests.acceptance.stage import quiet_history

DEFINITIONS = read()
CHARTS = [
    pytest.param(chart, id=f"{page}: {chart.title or chart.kind}")
    for page, dashboard in DEFINITIONS.dashboards.items()
    for row in dashboard.rows
    for chart in row.charts
]

GRAINS = {"day": "day", "week": "week", "month": "month"}


@pytest.fixture
def program(database_url: str, tmp_path: Path) -> Iterator[Program]:
    """Give the program before four providers with 30 calls each, over an empty warehouse."""
    with Sandbox(quiet_history(), limits=NO_LIMITS) as sandbox:
        program = Program(sandbox=sandbox, url=database_url, folder=tmp_path)
        hourly(program)
        yield program


def asked_by(chart: Chart) -> str:
    """Return what a chart asks: its metrics by what it groups by, as Superset does."""
    dataset = DEFINITIONS.datasets[chart.dataset]
    source = dataset.sql or f"SELECT * FROM masked.{chart.dataset}"
    names = [*chart.metrics, *([chart.metric] if chart.metric else [])]
    keys = [*chart.by, *(name for name in (chart.x, chart.y) if name)]
    if chart.kind in ("bars", "shares", "lines"):
        keys.append(f"date_trunc('{GRAINS[chart.grain]}', {dataset.time})")
    shown = [*keys, *(dataset.metrics[name].sql for name in names)] or list(chart.columns) or ["connection", "whole", "proven"]
    grouped = f" GROUP BY {', '.join(keys)}" if keys and names else ""
    return f"SELECT {', '.join(shown)} FROM ({source}) AS dataset WHERE {chart.where or 'true'}{grouped}"


def test_what_every_chart_asks_is_answered_to_a_masked_role(program: Program, tmp_path: Path) -> None:
    """Each query runs as the role that Superset reads as; the bundle names the columns that the charts name, and no password."""
    file = tmp_path / "dashboards.zip"
    assert program.run("sync").code == 0
    execute(program.url, "DROP ROLE IF EXISTS board_reader; CREATE ROLE board_reader LOGIN")
    assert program.run("grant", "board_reader", "--masked").code == 0

    written = program.run("dashboards", str(file), "--role", "board_reader")

    assert (written.code, written.out.splitlines()[0]) == (
        0,
        f"Wrote {file}: four dashboards over the schema masked, for Superset 6.1.",
    )
    with psycopg.connect(program.url or "") as session:
        session.execute("SET ROLE board_reader")
        answers: dict[str, list[Any]] = {
            str(one.id): session.execute(asked_by(one.values[0]).encode()).fetchall() for one in CHARTS
        }
    assert [name for name, answer in answers.items() if not answer] == []
    ((calls,),) = answers["calls: How many calls?"]
    assert calls == rows(program.url, "SELECT count(*) FROM calls")[0][0]
    with zipfile.ZipFile(file) as archive:
        held = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    columns = {
        document["table_name"]: {column["column_name"] for column in document["columns"]}
        for name, document in held.items()
        if "/datasets/" in name
    }
    unknown = {
        str(one.id): named - columns[one.values[0].dataset]
        for one in CHARTS
        if (named := {*one.values[0].by, *one.values[0].columns, *filter(None, (one.values[0].x, one.values[0].y))})
    }
    assert {name: missing for name, missing in unknown.items() if missing} == {}
    execute(program.url, "DROP OWNED BY board_reader; DROP ROLE board_reader")


def test_the_role_of_database_has_to_be_a_masked_one(database: Database, database_url: str, tmp_path: Path) -> None:
    """One that reads everything is refused, and one that reads nothing; of a masked one the bundle is written."""
    execute(database_url, "DROP ROLE IF EXISTS boards; CREATE ROLE boards LOGIN")
    address = database_url.replace("postgresql+psycopg://", "postgresql://")
    refused = []
    for role, rights in (("boards", None), ("boards", Rights())):
        if rights is not None:
            grant(database, role, rights)
        with pytest.raises(UsageError) as error, of_database(_as(address, role), tmp_path):
            pass
        refused.append(error.value.happened)
    grant(database, "boards", Rights(masked=True))
    with of_database(_as(address, "boards"), tmp_path) as source:
        written = (source.bundle.exists(), source.password)
    execute(database_url, "DROP OWNED BY boards; DROP ROLE boards")

    assert refused == [
        "The role of DATABASE may not read the schema masked, or that database holds no warehouse.",
        "The role of DATABASE may read what is not masked: numbers, addresses, names.",
    ]
    assert written == (True, None)


def _as(address: str, role: str) -> str:
    return make_url(address).set(username=role).render_as_string(hide_password=False)
