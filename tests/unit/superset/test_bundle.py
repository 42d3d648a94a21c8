"""The dashboards for Superset: every chart names what its dataset has, and the same definitions make the same archive."""

import json
import zipfile
from pathlib import Path

import pytest

from etl.superset import queries, write_bundle
from etl.superset.bundle import documents
from etl.superset.definitions import Chart, read
from etl.warehouse.address import for_superset

ADDRESS = "postgresql+psycopg2://dashboards:XXXXXXXXXX@warehouse.example.com/calls"
COLUMNS = {name: [("connection", "text"), ("day", "date")] for name in queries()}
CONNECTIONS = {"pairing": "tuple", "second": "tuple", "desk": "bimpe", "own": "ours"}

DEFINITIONS = read()
CHARTS = [
    pytest.param(chart, id=f"{page}: {chart.title or chart.kind}")
    for page, dashboard in DEFINITIONS.dashboards.items()
    for row in dashboard.rows
    for chart in row.charts
]


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_shows_metrics_that_its_dataset_has(chart: Chart) -> None:
    """Whatever it names is defined once, in the dataset."""
    named = [*chart.metrics, *([chart.metric] if chart.metric else [])]

    assert set(named) <= DEFINITIONS.datasets[chart.dataset].metrics.keys()


def test_every_dashboard_says_up_to_when_its_numbers_are_complete() -> None:
    """So that a gap never looks like a quiet day."""
    kinds = {page: [chart.dataset for row in one.rows for chart in row.charts] for page, one in DEFINITIONS.dashboards.items()}

    assert {page: "data_freshness" in datasets for page, datasets in kinds.items()} == dict.fromkeys(kinds, True)


def test_the_same_definitions_make_the_same_archive(tmp_path: Path) -> None:
    """Byte for byte; each chart of a dashboard is in it, under the identifier that the dashboard names."""
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_bundle(first, address=ADDRESS, columns=COLUMNS, connections=CONNECTIONS)
    write_bundle(second, address=ADDRESS, columns=COLUMNS, connections=CONNECTIONS)

    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        held = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert len(held) == len({*held})
    charts = {document["uuid"] for name, document in held.items() if "/charts/" in name}
    shown = {
        place["meta"]["uuid"]
        for name, document in held.items()
        if "/dashboards/" in name
        for place in document["position"].values()
        if isinstance(place, dict) and place["type"] == "CHART"
    }
    assert charts == shown
    assert len(charts) == len(CHARTS)


def test_a_row_is_no_wider_than_the_page() -> None:
    """Superset's pages have twelve columns."""
    wide = [
        row
        for dashboard in DEFINITIONS.dashboards.values()
        for row in dashboard.rows
        if sum(chart.width or 12 // len(row.charts) for chart in row.charts) > 12
    ]

    assert wide == []


def test_only_what_the_definitions_say_is_in_it() -> None:
    """A database, its datasets, the charts and the dashboards; no password but Superset's own mask."""
    made = dict(documents(DEFINITIONS, address=ADDRESS, columns=COLUMNS, connections=CONNECTIONS))

    assert {path.split("/")[0] for path in made} == {"metadata.yaml", "databases", "datasets", "charts", "dashboards"}
    assert made["databases/warehouse.yaml"]["sqlalchemy_uri"] == ADDRESS


def test_the_address_in_it_holds_no_secret_of_ours() -> None:
    """Neither the password nor an option that is one; where Superset needs a password its own mask stands."""
    given = "postgresql://etl:made-up@warehouse.example.com/calls?sslmode=require&password=made-up&sslpassword=made-up"

    assert for_superset(given, "dashboards") == (
        "postgresql+psycopg2://dashboards:XXXXXXXXXX@warehouse.example.com/calls?sslmode=require"
    )


def test_a_bundle_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """Without the columns of its datasets it fails in the middle: the file before stays, and nothing beside it."""
    file = tmp_path / "dashboards.zip"
    file.write_bytes(b"before")

    with pytest.raises(KeyError):
        write_bundle(file, address=ADDRESS, columns={}, connections={})

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"dashboards.zip": b"before"}


def test_every_page_gives_the_same_colour_to_the_same_thing() -> None:
    """Connections of one provider are shades of its colour; what nobody knows has one too."""
    made = dict(documents(DEFINITIONS, address=ADDRESS, columns=COLUMNS, connections=CONNECTIONS))
    pages = [document["metadata"]["label_colors"] for name, document in made.items() if name.startswith("dashboards/")]

    assert pages == [pages[0]] * 4
    assert {name: pages[0][name] for name in CONNECTIONS} == {
        "pairing": "#2F7ED8",
        "second": "#1B4F91",
        "desk": "#17A398",
        "own": "#5B6B7D",
    }
