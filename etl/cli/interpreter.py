"""Tunes the interpreter for threads that wait often and values that live for one page (docs/performance.md)."""

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
The number of new objects that starts a search for cycles; Python's default is 700. A page creates some ten thousand objects, none
of them in a cycle, and they are freed with the next page.
"""


def set_up() -> None:
    """Set the running interpreter up; what has been imported is left out of every search for cycles from now on."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 50, 50)
