"""Knows what a story ends with in which something does not hold."""

from __future__ import annotations


class Broken(AssertionError):
    """An invariant does not hold: which, and what shows it."""
