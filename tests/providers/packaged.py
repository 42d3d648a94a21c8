"""Reads the example of a provider in a package of its own, as it stands in its folder."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from etl.provider import Provider

EXAMPLE = Path(__file__).parents[2] / "examples" / "retell"


def retell() -> Provider:
    """Return the example's provider."""
    spec = spec_from_file_location("call_warehouse_retell_example", EXAMPLE / "call_warehouse_retell.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    provider: Provider = module.PROVIDER
    return provider


def retell_payloads() -> dict[str, Any]:
    """Return the example's payloads."""
    found: dict[str, Any] = json.loads((EXAMPLE / "tests" / "payloads.json").read_text("utf-8"))
    return found
