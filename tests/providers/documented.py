"""Reads the example out of docs/adding-a-provider.md: the provider, and the payloads that prove it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from etl.model import JSON
from etl.provider import Provider

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding-a-provider.md"


def blocks(language: str) -> list[str]:
    """Return what stands in the document's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run(code: str, scope: dict[str, Any]) -> None:
    """Run a block of the document."""
    exec(compile(code, str(DOCUMENT), "exec"), scope)  # noqa: S102 - the example itself is under test


def acme() -> Provider:
    """Run the example as it stands in the document."""
    code = next(block for block in blocks("python") if "PROVIDER = " in block)
    assert len(code.splitlines()) < 200
    scope: dict[str, Any] = {"__name__": "acme"}
    run(code, scope)
    provider: Provider = scope["PROVIDER"]
    return provider


def acme_payloads() -> dict[str, JSON]:
    """Read the example's payloads."""
    found: dict[str, JSON] = json.loads(next(block for block in blocks("json") if '"asks"' in block))
    return found
