"""Knows how the newest numbers are drawn: bars as SVG, made by hand, readable on a light and on a dark page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.goals import Spread, spread, values
from benchmarks.lanes.rivals import LANES

NAMES = {
    "copy": "COPY of the finished rows (the limit)",
    "copy_paged": "the same, 1,000 calls a transaction",
    "ours": "etl sync, backfill",
    "reread": "etl sync --full, nothing changed",
    "reread_fresh": "the same, at once after the backfill",
    "ours_shielded": "etl sync, backfill, somebody forgotten",
    "ours_beside": "etl sync, backfill, beside the rivals",
    "copy_beside": "COPY of the finished rows, beside them",
    "dlt": "dlt, merge by deleting and inserting",
    "dlt_upsert": "dlt, merge by upsert",
    "dlt_csv": "dlt, the first with csv instead of parquet",
    "singer": "Singer target-postgres (from a file)",
    "ingestr": "ingestr, merge (from a file)",
}
ORDER = ("copy", "copy_paged", "ours", "reread", "reread_fresh", *LANES)
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 860, 300, 130, 64, 34, 20
STYLE = """
text { font-family: system-ui, sans-serif; font-size: 13px; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.bar { fill: #8c959f; }
.ours { fill: #0969da; }
.limit { fill: #6e7781; }
.span { stroke: #1f2328; stroke-width: 1.5; }
.axis { stroke: #d1d9e0; stroke-width: 1; }
.ground { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  .bar { fill: #656c76; }
  .ours { fill: #4493f8; }
  .limit { fill: #9198a1; }
  .span { stroke: #f0f6fc; }
  .axis { stroke: #3d444d; }
  .ground { fill: #0d1117; }
}
"""


def draw(results: Path, picture: Path) -> str:
    """Draw the newest document that has a backfill; return its date. Raises SystemExit where there is none."""
    for file in sorted(results.glob("*.json"), reverse=True):
        document = json.loads(file.read_text("utf-8"))
        if "ours" in document["lanes"]:
            picture.write_text(svg(document), encoding="utf-8")
            return str(document["date"])
    raise SystemExit("Nothing was measured yet: python -m benchmarks backfill")


def svg(document: dict[str, Any]) -> str:
    """Return the picture of a document: calls a second of each lane, the median as a bar, the spread as a line."""
    lanes = document["lanes"]
    shown = [(lane, spread(values(lanes, lane, "rate"))) for lane in ORDER if lane in lanes]
    most = max(found.most for _, found in shown if found is not None)
    scale = (WIDTH - LEFT - RIGHT) / most
    machine, sizes = document["machine"], document["sizes"]
    about = (
        f"{sizes['calls']:,} Tuple calls with their participants, beside the rivals {sizes['rival_calls']:,}; {machine['cores']} "
        f"cores shared by API, program and PostgreSQL {machine['postgres'].get('server_version', '')}; {document['date'][:10]}"
    )
    height = TOP + ROW * len(shown) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<title>Calls loaded per second, by program</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        '<text class="title" x="16" y="26">Calls loaded per second</text>',
        f'<text class="small" x="16" y="45">{escape(about)}</text>',
        f'<line class="axis" x1="{LEFT}" y1="{TOP - 6}" x2="{LEFT}" y2="{TOP + ROW * len(shown)}"/>',
    ]
    for index, (lane, found) in enumerate(shown):
        parts += _row(lane, found, y=TOP + ROW * index, scale=scale)
    rounds = max(len(samples) for lane, samples in lanes.items() if lane in ORDER)
    said = f"Bar: median of {rounds} rounds; line: least to most. Lanes took turns in every round."
    parts.append(f'<text class="small" x="16" y="{height - 14}">{said}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(lane: str, found: Spread | None, *, y: int, scale: float) -> list[str]:
    middle = y + ROW / 2
    parts = [f'<text x="{LEFT - 10}" y="{middle + 4.5:.1f}" text-anchor="end">{escape(NAMES[lane])}</text>']
    if found is None:
        return [*parts, f'<text class="small" x="{LEFT + 8}" y="{middle + 4:.1f}">did not run</text>']
    kind = "ours" if lane.startswith(("ours", "reread")) else "limit" if lane.startswith("copy") else "bar"
    top = middle - BAR / 2
    parts.append(f'<rect class="{kind}" x="{LEFT}" y="{top:.1f}" width="{found.middle * scale:.1f}" height="{BAR}" rx="2"/>')
    low, high = LEFT + found.least * scale, LEFT + found.most * scale
    if high - low >= 1:
        parts.append(f'<line class="span" x1="{low:.1f}" y1="{middle:.1f}" x2="{high:.1f}" y2="{middle:.1f}"/>')
    parts.append(f'<text x="{high + 8:.1f}" y="{middle + 4.5:.1f}">{found.middle:,.0f}</text>')
    return parts
