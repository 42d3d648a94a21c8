"""Knows how what was measured is shown and kept: a table for a person, a document for later, nothing that names a machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import reading_report
from benchmarks.bench import Sample
from benchmarks.goals import GOALS, MB, Lanes, ratios, spread, values
from benchmarks.lanes import backfill, rivals

COLUMNS = (
    # heading, name of the value, what it is divided by, digits
    ("calls", "calls", 1.0, 0),
    ("calls/s", "rate", 1.0, 0),
    ("seconds", "wall", 1.0, 2),
    ("cpu s", "cpu", 1.0, 2),
    ("db cpu s", "database_cpu", 1.0, 2),
    ("peak MB", "memory", MB, 0),
    ("WAL MB/100k", "wal_per_100k", MB, 2),
    ("requests", "requests", 1.0, 0),
    ("sessions", "sessions", 1.0, 0),
)
NONE = "–"


def machine(settings: Mapping[str, str]) -> dict[str, Any]:
    """Return what of the machine and its programs matters to the numbers, and nothing that tells whose it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "program": version("call-warehouse"),
        "postgres": dict(settings),
    }


def document(found: Lanes, *, machine: Mapping[str, Any], sizes: Mapping[str, int], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that was measured, and what became of the goals."""
    goals = []
    for goal in GOALS:
        seen = spread(goal.measured(found))
        entry = {"goal": goal.text, "limit": goal.limit, "unit": goal.unit, "at_least": goal.at_least}
        goals.append(entry | ({"measured": asdict(seen), "met": goal.met(seen)} if seen else {"measured": None, "met": None}))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "machine": machine,
        "sizes": sizes,
        "failed": failed,
        "goals": goals,
        "lanes": found,
    }


def keep(document: Mapping[str, Any], file: Path) -> None:
    """Write a document."""
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def text(document: Mapping[str, Any]) -> str:
    """Return the tables: lanes, allowances, goals."""
    lanes: dict[str, list[Sample]] = document["lanes"]
    parts = [_table(["lane", "rounds", *(column[0] for column in COLUMNS), "ours is"], _lane_rows(lanes))]
    unfit = {
        f"{NONE} {lane}: {sample['unfit']}": None for lane, samples in lanes.items() for sample in samples if "unfit" in sample
    }
    if unfit:
        parts.append("\n".join(unfit))
    allowances = [
        [
            lane.removeprefix("allowance: "),
            _shown(values(lanes, lane, "share"), 1.0, 4),
            _shown(values(lanes, lane, "refused"), 1.0, 0),
        ]
        for lane in lanes
        if lane.startswith("allowance: ")
    ]
    if allowances:
        parts.append(_table(["allowance", "share spent", "refused"], allowances))
    if "reading" in lanes:
        parts += reading_report.tables(lanes)
    parts.append(_table(["goal", "must be", "measured", "", ""], _goal_rows(document["goals"])))
    return "\n\n".join(parts) + "\n\nMedian (least–most); ratios are made within each round.\n"


def _lane_rows(lanes: Lanes) -> list[list[str]]:
    rows = []
    for lane, samples in lanes.items():
        if lane.startswith(("allowance: ", "reading")):
            continue
        cells = [_shown(values(lanes, lane, name), scale, digits) for _, name, scale, digits in COLUMNS]
        ours = "ours" if lane in backfill.LANES else "ours_beside" if lane in rivals.LANES else lane
        beside = _shown(ratios(lanes, ours, lane), 1.0, 2, "×") if lane != ours else ""
        measured = sum("unfit" not in sample for sample in samples)
        rows.append([lane, str(measured) if measured else NONE, *cells, beside if beside != NONE else ""])
    return rows


def _goal_rows(goals: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for goal in goals:
        unit, seen = goal["unit"], goal["measured"]
        bound = f"{'≥' if goal['at_least'] else '≤'} {goal['limit']:g}{unit}"
        if seen is None:
            rows.append([goal["goal"], bound, "not measured", "", ""])
            continue
        shown = f"{seen['middle']:.3g}{unit}"
        between = f"{seen['least']:.3g}–{seen['most']:.3g}" if seen["count"] > 1 else ""
        rows.append([goal["goal"], bound, shown, between, "met" if goal["met"] else "NOT MET"])
    return rows


def _shown(found: Sequence[float], scale: float, digits: int, unit: str = "") -> str:
    seen = spread([value / scale for value in found])
    if seen is None:
        return NONE
    middle = f"{seen.middle:,.{digits}f}{unit}"
    return middle if seen.least == seen.most else f"{middle} ({seen.least:,.{digits}f}–{seen.most:,.{digits}f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[index]) for row in (heads, *rows)) for index in range(len(heads))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (heads, *rows)]
    return "\n".join("  ".join(line).rstrip() for line in lines)
