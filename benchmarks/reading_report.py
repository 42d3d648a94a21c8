"""Knows how the times of reading are shown: a row a query, the sizes side by side, as Markdown that docs can take over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.goals import Lanes

NONE = "–"


def tables(lanes: Lanes) -> list[str]:
    """Return a table of the dashboards' queries and one of the others'; then what a day costs to compute."""
    samples = lanes["reading"]
    sizes = sorted({sample["calls"] for sample in samples})
    charts = [sample for sample in samples if sample["page"].startswith("dashboard")]
    others = [sample for sample in samples if not sample["page"].startswith("dashboard")]
    found = [_table(one, sizes, reads) for one, reads in ((charts, "masked"), (others, "public")) if one]
    if indexed := lanes.get("reading: with its index", ()):
        titles = dict.fromkeys((sample["page"], sample["title"]) for sample in indexed)
        costs = {(sample["page"], sample["title"], sample["calls"]): sample.get("cpu_ms") for sample in indexed}
        rows = [[f"{page}: {title}", *(_shown(costs.get((page, title, size))) for size in sizes)] for page, title in titles]
        found.append(_markdown(["with the index of the page", *(f"{size:,}" for size in sizes)], rows))
    computed = lanes.get("reading: a day computed", ())
    if computed:
        rows = [[sample["view"], f"{sample['calls']:,}", f"{sample['cpu_ms']:.1f}"] for sample in computed]
        found.append(_markdown(["the newest day, computed", "calls held", "ms"], rows))
    return found


def _table(samples: Sequence[Mapping[str, Any]], sizes: Sequence[int], reads: str) -> str:
    by_key = {
        (sample["page"], sample["title"], sample["reads"], sample["touched"], sample["calls"]): sample.get("cpu_ms")
        for sample in samples
    }
    heads = ["query", *(f"{size:,}" for size in sizes), "ratio", *(f"{size:,}, today touched" for size in sizes)]
    others = {name for sample in samples if (name := sample["reads"]) != reads}
    heads += [f"{sizes[-1]:,}, {name}" for name in sorted(others)]
    rows = []
    for page, title in dict.fromkeys((sample["page"], sample["title"]) for sample in samples):
        plain = [by_key.get((page, title, reads, False, size)) for size in sizes]
        touched = [by_key.get((page, title, reads, True, size)) for size in sizes]
        beside = [by_key.get((page, title, name, False, sizes[-1])) for name in sorted(others)]
        ratio = f"{plain[-1] / plain[0]:.1f}" if plain[0] and plain[-1] else NONE
        rows.append([f"{page}: {title}", *map(_shown, plain), ratio, *map(_shown, touched), *map(_shown, beside)])
    return _markdown(heads, rows)


def _shown(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
