"""Repeats a transaction that failed by a deadlock or a serialization failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from etl.effects import Clock
from etl.errors import Collided
from etl.log import Logger

log = Logger(__name__)

ATTEMPTS = 6
FIRST_WAIT = 0.05
"""Seconds before the second attempt, doubled each time."""

Result = TypeVar("Result")


def repeated(transaction: Callable[[], Result], *, clock: Clock) -> Result:
    """Run a whole transaction, and repeat it if it collided; failed attempts were rolled back. Raises the last Collided."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return transaction()
        except Collided as collision:
            log.warning("transaction.repeated", attempt=attempt + 1, reason=collision.happened)
            clock.sleep(FIRST_WAIT * 2**attempt)
    return transaction()
