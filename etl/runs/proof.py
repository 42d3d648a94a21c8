"""
Demands proof before a walk is believed: its first step must show a held call, or the provider must account for those held.

Without it, an outage that answers with an empty list, or the token of another account, would settle and delete history.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl.errors import AnchorNotMet, NotFound
from etl.reading.pager import Pager
from etl.reading.source import Page
from etl.reading.walks import Step
from etl.reading.walks.way import Held, Way
from etl.runs.context import Task
from etl.runs.terms import Finding

ASKED_ANCHORS = 5
"""How many of the newest held calls are requested by their detail if the first page shows none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Judges the first steps of the walks through one stream."""

    task: Task
    stream: str
    way: Way
    pager: Pager

    def given_by(self, step: Step, anchors: tuple[Held, ...], *, last: bool) -> bool:
        """Whether a walk's first step shows a held call, and so the right account; true if no call is held yet."""
        if not anchors or self._shows(step, anchors) or self._meets(step):
            return True
        # A page without calls claims nothing, so that a window with a held call in it is better proof, as long as there is one.
        if (step.records or last) and any(self._meets(page) for page in self.way.elsewhere(self.pager, step, anchors)):
            return True
        return last and self._accounted_for(step, anchors)

    def missing(self, step: Step, *, asked: int) -> AnchorNotMet:
        """Return the error for a stream whose walks, of which `step` is the first one of the last, show none of the anchors."""
        known = "the newest call held" if asked == 1 else f"the {asked} newest calls held"
        name = self.task.connection
        once = "" if step.records else " once the provider lists a call again; a list without one proves nothing"
        return AnchorNotMet(
            f"in stream {self.stream}, the provider's answer shows none of {known}.",
            safe="Nothing was stored or claimed.",
            hint="Either the provider has an outage (the next sync continues), or the token belongs to another account: "
            f"check connections.{name}.token, and give another account a connection name of its own. If all calls held were "
            f"really deleted at the provider, set connections.{name}.max_delete_share = 1 and run: etl sync --full {name}{once}",
        )

    def _shows(self, step: Step, anchors: tuple[Held, ...]) -> bool:
        """Whether a step shows one of the anchors, which are known to be held."""
        ids = {anchor.call_id for anchor in anchors}
        met = any(record.call_id in ids for record in step.records)
        self.task.account_seen = self.task.account_seen or met
        return met

    def _meets(self, shown: Step | Page) -> bool:
        """Whether a step or a page shows any call that is held."""
        ids = [record.call_id for record in shown.records if record.call_id is not None]
        met = self.task.warehouse.held_among(connection=self.task.connection, stream=self.stream, call_ids=ids)
        self.task.account_seen = self.task.account_seen or bool(met)
        return bool(met)

    def _accounted_for(self, step: Step, anchors: tuple[Held, ...]) -> bool:
        """
        Whether the provider accounts for the newest held calls although its list does not show them.

        Either it still has one of them (its list of recent calls does not reach that far back), or it says of each that it is
        gone, and this run has met held calls in another stream of the account, or the user allows all calls to be gone.
        """
        allowed = self.task.account.max_delete_share >= 1 and any(record.rejection is None for record in step.records)
        if self.task.account.provider.detail is None:
            return allowed
        gone = 0
        for anchor in anchors[:ASKED_ANCHORS]:
            try:
                self.task.source.meet(stream=self.stream, call_id=anchor.call_id)
            except NotFound as absent:
                gone += absent.naming == "call"
                continue
            if not step.records and step.total is not None:
                text = "The provider lists no call, although it still has one of those held. Nothing was claimed or deleted."
                self.task.find(Finding(stream=self.stream, code="list_empty", text=text))
            return True
        if gone < len(anchors[:ASKED_ANCHORS]):
            return False
        if allowed:
            self._ask_for_all()
        elif self.task.account_seen and not step.records:
            text = "The provider lists no call, and says that those held are gone. Nothing was claimed or deleted."
            self.task.find(Finding(stream=self.stream, code="list_empty", text=text))
        return allowed or self.task.account_seen

    def _ask_for_all(self) -> None:
        """Let every held call of the stream be asked for, because its list may not reach down to where they stood."""
        task = self.task
        number = task.warehouse.count(connection=task.connection, stream=self.stream)
        held = task.warehouse.newest(connection=task.connection, stream=self.stream, before=None, limit=number)
        due_at = task.at_once()
        task.write(lambda page, _: page.ask_for([one.call_id for one in held], due_at=due_at))
