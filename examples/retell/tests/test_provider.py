"""The provider is proven by the kit, with payloads that are made up as the documentation's examples are shaped."""

import json
from pathlib import Path

from call_warehouse_retell import PROVIDER

from etl.testing import check


def test_the_provider_is_proven() -> None:
    """Its form, its payloads, and syncs from a server made of both."""
    payloads = json.loads((Path(__file__).parent / "payloads.json").read_text("utf-8"))

    print(check(PROVIDER, payloads))  # noqa: T201 - what it costs in requests, for `pytest -s`
