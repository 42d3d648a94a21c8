"""How a provider lists its calls is asked in one place: a third way of listing is one file and one line of the table."""

from __future__ import annotations

import re
from pathlib import Path

from etl.provider import Order
from etl.reading.orders import WAYS

ETL = Path(__file__).parents[3] / "etl"


def naming(pattern: str) -> set[str]:
    """Return the modules of the program that hold a pattern, by their paths under `etl/`."""
    found = (path.relative_to(ETL) for path in ETL.rglob("*.py") if re.search(pattern, path.read_text(encoding="utf-8")))
    return {str(path) for path in found if path.parts[0] not in ("providers", "sandbox", "testing", "cli")}


def test_every_order_has_its_way() -> None:
    """A member of `Order` without a way would fail in the middle of a sync."""
    assert set(WAYS) == set(Order)


def test_only_the_table_of_ways_asks_for_the_order() -> None:
    """`if order is …` stands nowhere: the form declares the order, the table turns it into a way."""
    assert naming(r"\bOrder\b(?!ed)") == {"provider.py", "reading/orders.py"}


def test_only_four_modules_ask_whether_each_agent_has_its_own_stream() -> None:
    """The form itself, listing the agents, the look at an account, what a record becomes, and the streams of a run."""
    assert naming(r"provider\.agents\b") == {"reading/source.py", "reading/survey.py", "records/compiled.py", "runs/streams.py"}
