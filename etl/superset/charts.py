"""
A chart's form data: what Superset calls `params`, by the kind of the chart.

The keys are those that Superset 6.1 writes into its own exports for the same chart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from etl.superset.definitions import Chart, Dataset, Kind

Params = dict[str, Any]

_SERIES = 12
"""
Of agents, those with the most. Which they are Superset asks for in a second reading of the dataset: connections are few, and all
are shown.
"""

_GRAINS = {"day": "P1D", "week": "P1W", "month": "P1M"}
_FRESHNESS = ("connection", "whole", "complete_until", "proven", "proved_calls", "proved_at")


def params(chart: Chart, dataset: Dataset) -> Params:
    """Return the form data of `chart` on `dataset`, `viz_type` among it."""
    filters: list[Params] = []
    if dataset.time:
        filters.append(
            {
                "clause": "WHERE",
                "comparator": "No filter",
                "expressionType": "SIMPLE",
                "operator": "TEMPORAL_RANGE",
                "subject": dataset.time,
            }
        )
    if chart.where:
        filters.append({"clause": "WHERE", "expressionType": "SQL", "sqlExpression": chart.where})
    return {
        "adhoc_filters": filters,
        "row_limit": chart.limit,
        "color_scheme": "supersetColors",
        "extra_form_data": {},
        **_KINDS[chart.kind](chart, dataset),
    }


def _format(chart: Chart, dataset: Dataset) -> str:
    first = chart.metric or chart.metrics[0]
    return chart.format or dataset.metrics[first].format


def _axis(chart: Chart, dataset: Dataset) -> str:
    """Return how an axis writes its numbers: between two calls are no others, but an axis has marks there."""
    written = _format(chart, dataset)
    return ",.1~f" if written in (",d", ",.1f") else written


def _number(chart: Chart, dataset: Dataset) -> Params:
    return {
        "viz_type": "big_number_total",
        "metric": chart.metric,
        "header_font_size": 0.4,
        "subtitle": dataset.metrics[chart.metric or ""].about,
        "subtitle_font_size": 0.125,
        "y_axis_format": _format(chart, dataset),
    }


def _over_time(chart: Chart, dataset: Dataset) -> Params:
    return {
        "x_axis": dataset.time,
        "time_grain_sqla": _GRAINS[chart.grain],
        "metrics": chart.metrics,
        "groupby": chart.by,
        "row_limit": 50_000,
        "limit": _SERIES if "agent_id" in chart.by else None,
        "truncate_metric": True,
        "show_legend": True,
        "legendType": "scroll",
        "legendOrientation": "top",
        "rich_tooltip": True,
        "showTooltipTotal": True,
        "tooltipTimeFormat": "smart_date",
        "x_axis_time_format": "smart_date",
        "y_axis_title": chart.unit,
        "y_axis_title_margin": 50 if chart.unit else 0,
        "y_axis_title_position": "Left",
        "y_axis_format": _axis(chart, dataset),
        "sort_series_type": "sum",
        **({"x_axis_time_format": "%d %b"} if chart.grain == "week" else {}),
    }


def _bars(chart: Chart, dataset: Dataset) -> Params:
    return {
        **_over_time(chart, dataset),
        "viz_type": "echarts_timeseries_bar",
        "orientation": "vertical",
        "stack": "Stack",
        "y_axis_bounds": [0, None],
    }


def _shares(chart: Chart, dataset: Dataset) -> Params:
    return {**_bars(chart, dataset), "contributionMode": "row", "y_axis_format": ".0%", "y_axis_bounds": [0, 1]}


def _lines(chart: Chart, dataset: Dataset) -> Params:
    return {
        **_over_time(chart, dataset),
        "viz_type": "echarts_timeseries_line",
        "markerEnabled": True,
        "markerSize": 5,
        "y_axis_bounds": [0, 1 if _format(chart, dataset).endswith("%") else None],
    }


def _heat(chart: Chart, dataset: Dataset) -> Params:
    return {
        "viz_type": "heatmap_v2",
        "x_axis": chart.x,
        "groupby": chart.y,
        "metric": chart.metric,
        "normalize_across": "heatmap",
        "linear_color_scheme": "schemeBlues",
        "sort_x_axis": "alpha_asc",
        "sort_y_axis": "alpha_desc",
        "legend_type": "continuous",
        "show_legend": True,
        "show_percentage": False,
        "show_values": False,
        "left_margin": 75,
        "bottom_margin": "auto",
        "value_bounds": [None, None],
        "xscale_interval": 1,
        "yscale_interval": 1,
        "y_axis_format": _format(chart, dataset),
        "row_limit": 10_000,
    }


def _ranked(chart: Chart, dataset: Dataset) -> Params:
    return {
        "viz_type": "echarts_timeseries_bar",
        "orientation": "horizontal",
        "x_axis": chart.x,
        "metrics": chart.metrics,
        "groupby": [],
        "x_axis_sort": chart.x if chart.x == "length" else chart.metrics[0],
        "x_axis_sort_asc": chart.x != "length",  # the first stands at the bottom
        "show_legend": False,
        "show_value": True,
        "row_limit": 25,
        "y_axis_title": chart.unit,
        "y_axis_title_margin": 30 if chart.unit else 0,
        "y_axis_format": _axis(chart, dataset),
    }


def _table(chart: Chart, dataset: Dataset) -> Params:
    metrics = [dataset.metrics[name] for name in chart.metrics]
    return {
        "viz_type": "table",
        "query_mode": "aggregate",
        "groupby": chart.by,
        "metrics": chart.metrics,
        "order_desc": True,
        "timeseries_limit_metric": chart.metrics[0],
        "show_cell_bars": True,
        "page_length": 20,
        "table_timestamp_format": "smart_date",
        "column_config": {metric.label: {"d3NumberFormat": metric.format} for metric in metrics},
    }


def _rows(chart: Chart, _dataset: Dataset) -> Params:
    return {
        "viz_type": "table",
        "query_mode": "raw",
        "all_columns": list(chart.columns or _FRESHNESS),
        "column_config": {"proved_calls": {"d3NumberFormat": ",d"}},
        "order_by_cols": ['["connection", true]'],
        "show_cell_bars": False,
        "table_timestamp_format": "%Y-%m-%d %H:%M",
    }


_KINDS: dict[Kind, Callable[[Chart, Dataset], Params]] = {
    "number": _number,
    "bars": _bars,
    "shares": _shares,
    "lines": _lines,
    "heat": _heat,
    "ranked": _ranked,
    "table": _table,
    "rows": _rows,
    "freshness": _rows,
}
