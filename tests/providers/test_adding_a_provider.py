"""The documentation's example of a provider is a working one."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from etl import providers
from etl.model import Context
from etl.provider import Ask, Failure, PageFacts
from etl.providers import aircall
from etl.records.derive import derive
from etl.records.identify import identify
from etl.testing import Cost, check
from etl.testing.payloads import KINDS
from tests.providers.documented import DOCUMENT, acme, acme_payloads, blocks, run

ROOT = Path(__file__).parents[2]
SEEN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_example_reads_a_call() -> None:
    """A record of the example's API becomes a row, with nested keys, cents and a word of its own."""
    call = {
        "uid": "a1",
        "state": "Talking",
        "direction": "inbound",
        "caller": {"number": "+14155550100"},
        "callee": None,
        "created": "2026-11-21T10:00:00Z",
        "price_cents": 2.4,
        "campaign": "spring",
        "links": {},
    }
    provider = acme()
    context = Context(connection="made_up", stream="calls", currency="EUR", run_id=1)
    record = identify(provider, json.dumps(call).encode(), cleaned=False)
    row, *inside = derive(provider, context, record, observed_at=SEEN)
    assert (row.call_id, row.status, row.provider_status) == ("a1", "in_progress", "Talking")
    assert (row.from_address, row.to_address) == ("+14155550100", None)
    assert (row.cost, row.currency, row.attributes) == (Decimal("0.024"), "EUR", '{"campaign":"spring"}')
    assert inside == [(), (), (), ()]


def test_example_keeps_what_only_one_record_knows() -> None:
    """Inside a nested object, too, a key that the later record does not hold, or holds as null, comes from the earlier one."""
    listed = {"uid": "a1", "state": "done", "created": "2026-11-21T10:00:00Z", "caller": {"number": "+14155550100"}}
    provider = acme()
    record = identify(provider, json.dumps(listed).encode(), cleaned=False)
    context = Context(connection="made_up", stream="calls", currency="EUR", run_id=1)
    for caller, expected in (({}, "+14155550100"), ({"number": "+14155550101"}, "+14155550101"), (None, "+14155550100")):
        detail = identify(provider, json.dumps(listed | {"caller": caller}).encode(), cleaned=False)
        derived = derive(provider, context, record, observed_at=SEEN, detail=detail, detail_observed_at=SEEN)
        assert derived.call.from_address == expected


def test_example_reads_pages_and_errors() -> None:
    """The example's small functions do what its comments say."""
    provider = acme()
    assert provider.listing.styles[0].params(Ask(number=2, size=200)) == {"page": "2", "size": "200"}
    assert provider.listing.facts({"count": 250, "page": 1, "last": False}, {}) == PageFacts(total=250, number=1, more=True)
    absent = {"error": {"code": "call_not_found", "message": "No such call"}}
    assert provider.failure(404, absent) == Failure(code="call_not_found", message="No such call", naming="call")
    assert provider.failure(404, {"error": "Not Found"}) == Failure()
    assert provider.failure(200, {"call": {}}) is None


def test_example_is_proven() -> None:
    """By the kit, with the payloads that stand in the document too."""
    cost = Cost(calls=11, pages=3, details=11, pages_again=3, details_again=4)
    assert check(acme(), acme_payloads()) == cost


def test_every_block_runs() -> None:
    """Those of Python in their order, as somebody reads them; the last one proves the example."""
    scope: dict[str, Any] = {"__name__": "read", "payloads": acme_payloads()}
    for block in blocks("python"):
        run(block, scope)

    assert scope["aircall_login"] == aircall.PROVIDER.login and scope["aircall_own"] == aircall.PROVIDER.own
    assert scope["aircall_bounds"](scope["march"]) == {"from": "1772323200", "to": "1775001599"}
    assert scope["by_address"].params(Ask(number=2, size=50, after="/Calls.json?PageSize=50&Page=1&PageToken=PA1")) == {
        "PageSize": "50",
        "Page": "1",
        "PageToken": "PA1",
    }
    assert scope["retell_failure"](422, {"message": "Cannot find requested asset."}).naming == "call"


def test_every_other_block_is_looked_at() -> None:
    """The distribution's file is as the example's own, the commands are those that a test of the example runs."""
    (text,) = blocks("toml")
    shown, real = tomllib.loads(text), tomllib.loads((ROOT / "examples" / "retell" / "pyproject.toml").read_text("utf-8"))

    assert shown["build-system"] == real["build-system"]
    assert shown["project"]["entry-points"] == {"etl.providers": {"acme": "acme_calls:PROVIDER"}}
    assert {table: set(keys) - {"description", "requires-python"} for table, keys in real.items() if table != "tool"} == {
        table: set(keys) for table, keys in shown.items() if table != "tool"
    }
    assert blocks("sh") == ["pip install ./call-warehouse-acme\netl check\netl sync\n"]
    fences = re.findall(r"^```(\w+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert set(fences) == {"python", "toml", "sh", "json"} and len(blocks("json")) == 1


def test_every_kind_of_payload_is_explained() -> None:
    """The table names those that the kit knows, and no others; what it does is told scene by scene."""
    text = DOCUMENT.read_text("utf-8")

    assert set(re.findall(r"(?m)^\| `(\w+)` \| ", text.partition("| key | holds |")[2])) == set(KINDS)


def test_the_twelve_are_told() -> None:
    """One row for each; what is said to be proven, is."""
    text = (ROOT / "docs" / "call-apis.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| ([A-Z][\w ()]+) \| (\*\*proven\*\*|being|read)", text)

    assert len(rows) == 12
    proven = {name.partition(" ")[0].lower() for name, state in rows if state == "**proven**"}
    forms = {path.stem for path in (Path(__file__).parent / "forms").glob("*.json")}
    assert proven == {"retell", *forms, *(name for name in providers.OURS if name in {"aircall", "twilio"})}
