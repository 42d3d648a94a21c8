"""Knows how the interpreter is set for threads that wait often and values that live for one page (docs/performance.md)."""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL = 0.00005
"""
Seconds after which a thread at work lets another one in. A thread that loads waits for the database a dozen times a page; at
Python's usual 5 ms it would stand behind the one that decodes the next page each time, and the database be idle.
"""

ALLOCATIONS = 100_000
"""
So many new objects start a search for cycles; usually 700. A page brings some ten thousand, none of them in a cycle, and they are
gone with the next page.
"""


def set_up() -> None:
    """Set the running interpreter up; what has been imported is left out of every search for cycles from now on."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 50, 50)
