"""
Decides which held calls are gone because a complete reading did not show them.

Where a provider can be asked for one call, its detail decides, later in the run. Elsewhere such a call counts as missing until
all was read, since it may turn up further on with another cursor. Until then nothing is buried, and the ranges in question are
not settled, so that the next run looks at them again if this one ends early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from etl.coverage import Spans
from etl.errors import AnchorNotMet
from etl.reading.walks import Step
from etl.runs.account import Account
from etl.runs.port import PageTransaction
from etl.runs.state import StreamState
from etl.runs.terms import Absent


@dataclass(kw_only=True)
class Missing:
    """The held calls of one stream that this run should have seen and has not, `gone_at` being when each was looked for."""

    account: Account
    stream: str
    kept_since: datetime | None  # what is older may have been aged out by the provider, and is never missing
    held: int = 0  # calls held in what was read
    missed: int = 0
    read: Spans = Spans()
    undecided: Spans = Spans()  # the ranges read in which calls are missing
    gone_at: dict[str, datetime] = field(default_factory=dict)

    def look(self, page: PageTransaction, step: Step, *, recent: Collection[frozenset[str]]) -> Absent:
        """Return the held calls that a step should have shown and did not. Raises AnchorNotMet if they are too many by now."""
        read = step.read if self.kept_since is None else step.read.above(self.kept_since)
        absent = page.absent(stream=self.stream, read=read, seen=(step.seen, *recent))
        held, missed = self.held + absent.held, self.missed + len(absent.call_ids)
        if not self.account.believes_deleted(missed, of=held):
            raise AnchorNotMet(
                f"in stream {self.stream}, {missed} of {held} calls held are missing from what the provider listed.",
                safe="What this walk claimed was taken back, and nothing was deleted.",
                hint="If they were really deleted at the provider, set "
                f"connections.{self.account.connection}.max_delete_share = 1 for one run; else wait until its outage ends.",
            )
        return absent

    def note(self, absent: Absent, step: Step, *, seen: frozenset[str]) -> None:
        """Remember what a committed step showed and did not show."""
        self.held, self.missed = self.held + absent.held, self.missed + len(absent.call_ids)
        self.read |= step.read
        # At the lower end of a list a page without records proves nothing: the calls may have been aged out.
        if absent.call_ids and step.records and self.account.provider.detail is None:
            self.undecided |= step.read
            self.gone_at |= dict.fromkeys(absent.call_ids, step.sent_at)
        for call_id in seen & self.gone_at.keys():
            del self.gone_at[call_id]
            self.missed -= 1

    def unsettled(self, state: StreamState, step: Step | None = None, absent: Absent | None = None) -> StreamState:
        """Return a state with nothing settled where calls are missing, those of a step at hand included."""
        if self.account.provider.detail is not None:
            return state
        more = step.read if step is not None and absent is not None and absent.call_ids else Spans()
        return replace(state, settled=state.settled - (self.undecided | more))

    def bury(self, page: PageTransaction) -> int:
        """Move all calls that are still missing to the history; return how many were held."""
        by_instant: dict[datetime, list[str]] = defaultdict(list)
        for call_id, gone_at in self.gone_at.items():
            by_instant[gone_at].append(call_id)
        return sum(page.bury(call_ids, gone_at=gone_at) for gone_at, call_ids in by_instant.items())

    def copy(self) -> Missing:
        """Return a copy to which a walk can be taken back."""
        return replace(self, gone_at=dict(self.gone_at))
