"""
Decides how far a provider's clock, the `Date` header of its answers, can be trusted beside ours and the calls it lists.

The clock of a provider, or of a proxy before it, may be years off, and so may be ours. A clock that runs behind the calls listed
is wrong. Of two clocks that differ, the earlier one is believed: by it too little is claimed at worst, which costs requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest

from etl.model import JSON
from etl.records.parse import Unfit, instant

APART = timedelta(hours=1)
"""If two clocks differ by more, one of them is wrong. Offsets of a zone that was mistaken for UTC count as wrong too."""

JUMP = timedelta(days=30)
"""A cursor further out of order than this, or further above all others, is ignored in claims."""

CONSIDERED = 5
"""Of so many of the newest cursors, wrong ones are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Two clocks that differ: what the provider's answer was dated, and what our clock said when it was asked for."""

    theirs: datetime
    ours: datetime

    @classmethod
    def between(cls, date: datetime | None, sent_at: datetime, newest: tuple[datetime, ...] = ()) -> Apart | None:
        """
        Compare an answer's `Date` with our clock; None if they agree.

        Without a `Date`, `newest` (`newest_two`) tells whether ours is behind: no call can be from the future.
        """
        if date is not None:
            return cls(theirs=date, ours=sent_at) if abs(date - sent_at) > APART else None
        return cls(theirs=newest[-1], ours=sent_at) if newest and newest[-1] - sent_at > APART else None

    @classmethod
    def remembered(cls, stored: JSON) -> Apart | None:
        """Read the stored form; None for anything else."""
        try:
            theirs, ours = instant(stored["theirs"]), instant(stored["ours"])
        except (KeyError, TypeError, Unfit):
            return None
        return cls(theirs=theirs, ours=ours) if theirs is not None and ours is not None else None

    def stored(self) -> dict[str, JSON]:
        """Return the form in which it is kept with the connection."""
        return {"theirs": self.theirs.isoformat(), "ours": self.ours.isoformat()}

    def __str__(self) -> str:
        """Name both instants."""
        theirs, ours = (f"{instant:%Y-%m-%d %H:%M:%S} UTC" for instant in (self.theirs, self.ours))
        return f"The provider's answers are dated {theirs} where our clock says {ours}"


def newest_two(cursors: Iterable[datetime]) -> tuple[datetime, ...]:
    """Return the newest cursor that can be believed and the one below it, newest first; fewer if there are no more."""
    newest = nlargest(CONSIDERED, cursors)
    while len(newest) > 1 and newest[0] - newest[1] > JUMP:
        del newest[0]
    return tuple(newest[:2])


def believed(date: datetime | None, sent_at: datetime, newest: tuple[datetime, ...]) -> datetime | None:
    """
    Return the provider's clock as far as it can be trusted, and None if it cannot, or is not known.

    `newest` are the newest instants at which the provider is known to have had a call (`newest_two`). If two of them (or the only
    one) are later than the clock, it is wrong. A clock ahead of ours is replaced by ours, `sent_at`.
    """
    if date is None or (newest and newest[-1] - date > APART):
        return None
    return sent_at if date - sent_at > APART else date
