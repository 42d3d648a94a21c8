"""What `dashboards/superset/*.toml` may say, and reading it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

Grain = Literal["day", "week", "month"]
Kind = Literal["number", "bars", "shares", "lines", "heat", "ranked", "table", "rows", "freshness"]


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric of a dataset: the text in legends, its SQL, what it means, and how its numbers are written (by d3's rules)."""

    label: str
    sql: str
    about: str
    format: str = ",d"


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A relation of the schema `masked`, or a query on it; `time` is the column that a range of time filters, if it has one."""

    about: str
    metrics: dict[str, Metric]
    time: str | None = None
    sql: str | None = None


class Chart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chart. `width` is in twelfths of the page; left out, the charts of a row share it."""

    kind: Kind
    title: str = ""
    dataset: str = "data_freshness"
    metric: str | None = None
    metrics: list[str] = []
    by: list[str] = []
    columns: list[str] = []
    x: str | None = None
    y: str | None = None
    where: str | None = None
    grain: Grain = "day"
    unit: str = ""
    format: str | None = None
    limit: int = 1000
    width: int | None = None


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Charts side by side; `height` is in Superset's units of eight pixels."""

    height: int
    charts: list[Chart]


class Dashboard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of charts; its filters offer the values of the dataset `filtered`."""

    title: str
    time_range: str
    filters: list[Literal["time", "provider", "connection", "is_test"]]
    filtered: str
    rows: list[Row]


class Colours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Colours by name: one of a metric, several shades of a provider (`others`: of every provider that is not named)."""

    metrics: dict[str, str]
    providers: dict[str, list[str]]


class Definitions(msgspec.Struct, frozen=True):
    """Everything that the folder says: datasets by their name, dashboards by that of their file, colours."""

    datasets: dict[str, Dataset]
    dashboards: dict[str, Dashboard]
    colours: Colours


PAGES = ("calls", "agents", "pairing", "whole")
"""The dashboards, in the order in which Superset lists what was imported last."""


def read() -> Definitions:
    """
    Read the folder that came with this program.

    Raises msgspec.ValidationError, which names the place, where it is at odds with the forms.
    """
    folder = _folder()
    return Definitions(
        datasets=msgspec.convert(_toml(folder / "datasets.toml"), dict[str, Dataset]),
        dashboards={page: msgspec.convert(_toml(folder / f"{page}.toml"), Dashboard) for page in PAGES},
        colours=msgspec.convert(_toml(folder / "colours.toml"), Colours),
    )


def _folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    shipped = package / "dashboards" / "superset"
    return shipped if shipped.is_dir() else package.parent / "dashboards" / "superset"


def _toml(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))
