"""The archive that Superset imports: a database, its datasets, the charts on them, the dashboards that show these."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from etl.superset.charts import params
from etl.superset.colours import labelled
from etl.superset.definitions import Chart, Dashboard, Dataset, Definitions, read

Document = dict[str, Any]

DATABASE = "Call warehouse"
TIMES = ("date", "timestamp")
_HEADER = "Up to when is this complete, and was it proven?"
_TWELFTHS = 12
_ROOT = "call_warehouse"
_LONG_AGO = (2026, 1, 1, 0, 0, 0)
"""The time of every member of the archive: the same definitions make the same bytes."""


Columns = Mapping[str, Sequence[tuple[str, str]]]
"""For each dataset the name and the type of each of its columns."""


def queries() -> dict[str, str]:
    """Return the query of each dataset."""
    found = read().datasets
    return {name: one.sql or f"SELECT * FROM masked.{name}" for name, one in found.items()}  # noqa: S608 - ours


def write_bundle(file: Path, *, address: str, columns: Columns, connections: Mapping[str, str]) -> None:
    """
    Write the archive for the warehouse at `address` (SQLAlchemy's form, as Superset's driver psycopg2 takes it).

    `connections` names each connection's provider: its colour.

    It is written beside its place and put there when it is whole. Raises OSError if it cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    try:
        _write(unfinished, documents(read(), address=address, columns=columns, connections=connections))
        unfinished.replace(file)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _write(file: Path, held: Iterator[tuple[str, Document]]) -> None:
    with zipfile.ZipFile(file, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for path, document in held:
            # JSON is YAML: every reader of YAML takes it.
            member = zipfile.ZipInfo(f"{_ROOT}/{path}", date_time=_LONG_AGO)
            archive.writestr(member, json.dumps(document, indent=1, ensure_ascii=False))


def documents(
    definitions: Definitions, *, address: str, columns: Columns, connections: Mapping[str, str]
) -> Iterator[tuple[str, Document]]:
    """Return each file of the archive: its path below the root, and what it holds."""
    # Without a `type` both ways of importing take it: as dashboards, by the menu, and as assets, which updates what is there.
    yield "metadata.yaml", {"version": "1.0.0", "timestamp": "2026-01-01T00:00:00+00:00"}
    yield (
        "databases/warehouse.yaml",
        {
            "database_name": DATABASE,
            "sqlalchemy_uri": address,
            "uuid": _uuid("database"),
            "expose_in_sqllab": True,
            "allow_dml": False,
            "allow_ctas": False,
            "allow_cvas": False,
            "extra": {"allows_virtual_table_explore": True},
            "version": "1.0.0",
        },
    )
    for name, dataset in definitions.datasets.items():
        yield f"datasets/warehouse/{name}.yaml", _dataset(name, dataset, columns[name])
    for page, dashboard in definitions.dashboards.items():
        for chart in _charts(dashboard):
            yield f"charts/{page}_{_slug(_title(chart))}.yaml", _chart(page, chart, definitions.datasets[chart.dataset])
        yield f"dashboards/{page}.yaml", _dashboard(page, dashboard, labelled(definitions.colours, connections))


def _dataset(name: str, dataset: Dataset, columns: Sequence[tuple[str, str]]) -> Document:
    return {
        "table_name": name,
        "schema": "masked",
        "sql": dataset.sql,
        "description": dataset.about,
        "main_dttm_col": dataset.time,
        "uuid": _uuid("dataset", name),
        "database_uuid": _uuid("database"),
        "columns": [
            {
                "column_name": column,
                "verbose_name": _said(column),
                "type": kind.upper(),
                "is_dttm": kind.startswith(TIMES),
                "groupby": True,
                "filterable": True,
            }
            for column, kind in columns
        ],
        "metrics": [
            {
                "metric_name": key,
                "verbose_name": metric.label,
                "expression": metric.sql,
                "description": metric.about,
                "d3format": metric.format,
            }
            for key, metric in dataset.metrics.items()
        ],
        "version": "1.0.0",
    }


def _chart(page: str, chart: Chart, dataset: Dataset) -> Document:
    form = params(chart, dataset)
    return {
        "slice_name": _title(chart),
        "viz_type": form["viz_type"],
        "params": form,
        "uuid": _uuid("chart", page, _title(chart)),
        "dataset_uuid": _uuid("dataset", chart.dataset),
        "version": "1.0.0",
    }


def _dashboard(page: str, dashboard: Dashboard, labels: dict[str, str]) -> Document:
    return {
        "dashboard_title": dashboard.title,
        "slug": f"call-warehouse-{page}",
        "uuid": _uuid("dashboard", page),
        "published": True,
        "position": _position(page, dashboard),
        "metadata": {
            "color_scheme": "supersetColors",
            "label_colors": labels,
            "cross_filters_enabled": True,
            "native_filter_configuration": [_filter(page, name, dashboard) for name in dashboard.filters],
        },
        "version": "1.0.0",
    }


def _position(page: str, dashboard: Dashboard) -> Document:
    rows = [f"ROW-{number}" for number in range(len(dashboard.rows))]
    position: Document = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": rows, "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": dashboard.title}},
    }
    number = 0
    for key, row in zip(rows, dashboard.rows, strict=True):
        charts = [f"CHART-{key}-{number}" for number in range(len(row.charts))]
        parents = ["ROOT_ID", "GRID_ID"]
        position[key] = {
            "type": "ROW",
            "id": key,
            "children": charts,
            "parents": parents,
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
        for place, chart in zip(charts, row.charts, strict=True):
            number += 1
            position[place] = {
                "type": "CHART",
                "id": place,
                "children": [],
                "parents": [*parents, key],
                "meta": {
                    "chartId": number,  # Superset asks for one, and puts its own in its place
                    "uuid": _uuid("chart", page, _title(chart)),
                    "sliceName": _title(chart),
                    "width": chart.width or _TWELFTHS // len(row.charts),
                    "height": row.height,
                },
            }
    return position


_FILTERS = {"provider": "Provider", "connection": "Connection", "is_test": "Test calls"}


def _filter(page: str, name: str, dashboard: Dashboard) -> Document:
    everywhere = {"scope": {"rootPath": ["ROOT_ID"], "excluded": []}, "type": "NATIVE_FILTER", "cascadeParentIds": []}
    if name == "time":
        return {
            "id": f"NATIVE_FILTER-{page}-time",
            "name": "Time",
            "filterType": "filter_time",
            "targets": [{}],
            "controlValues": {"enableEmptyFilter": False},
            "defaultDataMask": {
                "extraFormData": {"time_range": dashboard.time_range},
                "filterState": {"value": dashboard.time_range},
            },
            **everywhere,
        }
    chosen: Document = {"extraFormData": {}, "filterState": {}}
    if name == "is_test":
        chosen = {
            "extraFormData": {"filters": [{"col": "is_test", "op": "IN", "val": [False]}]},
            "filterState": {"value": [False], "label": "false"},
        }
    return {
        "id": f"NATIVE_FILTER-{page}-{name}",
        "name": _FILTERS[name],
        "filterType": "filter_select",
        "targets": [{"datasetUuid": _uuid("dataset", dashboard.filtered), "column": {"name": name}}],
        "controlValues": {
            "multiSelect": True,
            "enableEmptyFilter": False,
            "defaultToFirstItem": False,
            "searchAllOptions": False,
        },
        "defaultDataMask": chosen,
        **everywhere,
    }


def _charts(dashboard: Dashboard) -> Iterator[Chart]:
    for row in dashboard.rows:
        yield from row.charts


def _title(chart: Chart) -> str:
    return _HEADER if chart.kind == "freshness" else chart.title


def _said(column: str) -> str:
    return column.replace("_", " ").capitalize()


def _slug(title: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in title).split())[:80]


def _uuid(*names: str) -> str:
    """Return the same identifier for the same thing in every archive: importing a later one updates what an earlier one made."""
    return str(uuid5(NAMESPACE_URL, "/".join(("call-warehouse", "superset", *names))))
