"""The status page: how every connection stands, rendered here, so that a browser has nothing to do but show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from etl.errors import EtlError
from etl.printable import number_of, printable
from etl.warehouse.database import Database
from etl.warehouse.reports import figures, status, time_lines
from etl.warehouse.reports.gaps import gaps
from etl.wiring import expected
from etl.worker.web.allowances import used
from etl.worker.web.card import Card, Facts, Grade, card_of, moment
from etl.worker.web.picture import CELLS
from etl.worker.web.site import Site

STRIP = 40
"""The number of runs that a strip shows at most."""

ORDER = (Grade.BAD, Grade.FAIR, Grade.GOOD, Grade.NONE)
"""What needs somebody stands first."""

UNITS = ("bytes", "KB", "MB", "GB", "TB")


class Rendered(NamedTuple):
    """A page, and the HTTP status it is sent with."""

    html: str
    status: int


def render(site: Site) -> Rendered:
    """Return the page; where the warehouse cannot be read, one that says so."""
    now = site.clock.now()
    try:
        with site.open() as database:
            cards = _cards(site, database, now)
            whole = figures.whole(database)
            queued = figures.queued(database)
    except EtlError as error:
        html = _templates().get_template("trouble.html").render(error=error, now=now, headline="The warehouse cannot be read")
        return Rendered(html, 503)
    html = (
        _templates()
        .get_template("status.html")
        .render(
            cards=cards,
            cells=CELLS,
            headline=_headline(cards),
            legend=time_lines.WORDS,
            size=_size(whole.bytes),
            version=whole.version,
            waiting=None if queued is None else sum(one.waiting for one in queued.values()),
            now=now,
        )
    )
    return Rendered(html, 200)


def _cards(site: Site, database: Database, now: datetime) -> list[Card]:
    """Return the cards of all connections, configured or held, those that need somebody first."""
    connections = site.settings.connections
    rows = {row["connection"]: {**row, **expected(site.settings, row, now=now)} for row in status.connections(database)}
    lines = {line.connection: line for line in time_lines.time_lines(database)}
    missing = {name: list(found) for name, found in groupby(gaps(database), key=lambda gap: gap.connection)}
    runs = status.recent_runs(database, each=STRIP)
    due = site.next_due(database, tuple(connections)) if connections else {}
    allowances = used(database, connections, now=now) if connections else {}
    cards = [
        card_of(
            Facts(
                name=name,
                provider=connections[name].provider if name in connections else str(rows[name]["provider"]),
                configured=name in connections,
                row=rows.get(name),
                line=lines.get(name),
                gaps=missing.get(name, ()),
                runs=runs.get(name, ()),
                due=due.get(name),
                used=allowances.get(name),
            ),
            now=now,
        )
        for name in sorted({*connections, *rows})
    ]
    return sorted(cards, key=lambda card: ORDER.index(card.state.grade))


def _headline(cards: list[Card]) -> str:
    expected_of = [card for card in cards if card.state.grade is not Grade.NONE]
    if not expected_of:
        return "No connection is configured yet"
    bad = [card.name for card in expected_of if card.state.grade is Grade.BAD]
    if bad:
        need = "needs" if len(bad) == 1 else "need"
        return f"{len(bad)} of {number_of(len(expected_of), 'connection')} {need} attention: {', '.join(bad)}"
    good = sum(card.state.grade is Grade.GOOD for card in expected_of)
    if good < len(expected_of):
        return f"{good} of {number_of(len(expected_of), 'connection')} fresh, the others on their way"
    return "The connection is fresh" if good == 1 else f"All {good} connections are fresh"


def _size(number: float) -> str:
    for unit in UNITS:
        if number < 1000 or unit == UNITS[-1]:
            return f"{number:.3g} {unit}" if unit != UNITS[0] else f"{number:.0f} {unit}"
        number /= 1000
    raise AssertionError  # unreachable: the last unit takes whatever is left


@lru_cache(maxsize=1)
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("etl.worker.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_fit,
    )
    filters: Mapping[str, object] = {"moment": moment}
    templates.filters.update(filters)
    return templates


def _fit(value: object) -> object:
    """Let no text from a database or a provider change the order in which a page is read."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
