"""Knows how fenced blocks are found in a page of the documentation."""

from __future__ import annotations

import re


def fenced(text: str, language: str = "sql") -> list[str]:
    """Return what stands in the fenced blocks of this language; none is named where it is empty."""
    found: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [block for named, block in found if named == language]
