"""Tunes the interpreter for threads that wait often and values that live for one page (docs/performance.md)."""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL = 0.00005
"""
Seconds after which a running thread lets another one run. A loading thread waits for the database a dozen times per page. With
Python's default of 5 ms it would wait each time for the thread that decodes the next page, while the database is idle.
"""

ALLOCATIONS = 100_000
"""
The number of new objects that starts a search for cycles; Python's default is 700. A page creates some ten thousand objects, none
of them in a cycle, and they are freed with the next page.
"""


def set_up() -> None:
    """Set up the running interpreter. Objects that exist already, such as modules, are excluded from the search for cycles."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 50, 50)
