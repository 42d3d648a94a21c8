"""
The providers' APIs over real HTTP on loopback, from one seeded history that evolves; shares no code with the extractors.

See `docs/sandbox.md` for how to write tests with it.
"""

from etl.sandbox.history import History
from etl.sandbox.journal import Entry
from etl.sandbox.limits import NO_LIMITS, TRUE_LIMITS, Quota
from etl.sandbox.server import Sandbox
from etl.sandbox.serving import config, demo_history, real_time, serve
from etl.sandbox.switches import Switches

__all__ = [
    "NO_LIMITS",
    "TRUE_LIMITS",
    "Entry",
    "History",
    "Quota",
    "Sandbox",
    "Switches",
    "config",
    "demo_history",
    "real_time",
    "serve",
]
