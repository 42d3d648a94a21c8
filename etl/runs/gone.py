"""
Judges calls for which the provider answers that it does not know them: which are gone, which are not, and which nobody can tell.

A call is gone if its own address says so, while those of others of its stream answer, and no list says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etl.errors import AuthenticationFailed, ConnectionFailed
from etl.printable import number_of
from etl.provider import When
from etl.runs.context import Task
from etl.runs.failing import log_failed, note_failed
from etl.runs.port import PageTransaction
from etl.runs.terms import Counters, DueCall, Finding


def judge_absent(task: Task, stream: str, absent: Sequence[DueCall], *, alive: int, now: datetime) -> None:
    """
    Move the calls that are gone to the history; `absent` are those of a stream of which the provider says that it knows no such.

    `alive` says how many details of the stream were answered in this run. What is not proven gone is held, and a finding.
    """
    aged, failing = _aged_out(task, absent), [call for call in absent if not _may_be_gone(task, call)]
    spared = {call.call_id for call in (*aged, *failing)}

    def keep(page: PageTransaction, _: Counters) -> None:
        if aged:
            page.ask_for([call.call_id for call in aged], due_at=None)
            page.detail_came([call.call_id for call in aged])
        note_failed(page, [call for call in failing if call not in aged], now=now)

    if spared:
        task.write(keep)
        log_failed(task, [(call, "not_found") for call in failing if call not in aged])
    if gone := [call for call in absent if call.call_id not in spared]:
        _bury(task, stream, gone, alive=alive)


def _may_be_gone(task: Task, call: DueCall) -> bool:
    """
    Whether an address that knows no call can mean that it is gone.

    Not if a list of this run shows it. If no list was read where it stands, only if its address knew it the last time, or was
    never asked, as where a detail is not worth a request: else it may be one that is listed, and never had an address that
    answers. A later list, or an audit, will tell.
    """
    detail = task.account.provider.detail
    if task.listed.shows(call.stream, call.call_id, call.cursor):
        return False
    return task.listed.misses(call.stream, call.call_id) or (
        (call.has_detail or (detail is not None and detail.when is not When.ALWAYS)) and not call.failures
    )


def _aged_out(task: Task, calls: Sequence[DueCall]) -> list[DueCall]:
    """Return the calls that ended, and are older than what the provider keeps: they stay, and nothing more can be had of them."""
    if task.account.retention is None:
        return []
    kept_since = task.provider_now() - task.account.retention
    return [call for call in calls if call.cursor < kept_since and not call.is_open]


def _bury(task: Task, stream: str, gone: list[DueCall], *, alive: int) -> None:
    """Move calls that the provider reports gone to the history, unless an outage or its retention could be the reason."""
    if task.account.retention is not None:
        kept_since = task.provider_now() - task.account.retention
        gone = [call for call in gone if call.cursor >= kept_since]
    if not gone:
        return
    if not alive and not _still_answers(task, stream, {call.call_id for call in gone}):
        task.find(
            Finding(
                stream=stream,
                code="gone_unproven",
                text=f"Of {number_of(len(gone), 'call')} asked for the provider knows none; since it confirmed no other call "
                "either, nothing was marked as deleted.",
            )
        )
        return
    held = task.warehouse.count(connection=task.connection, stream=stream)
    if not task.account.believes_deleted(len(gone), of=held):
        task.find(
            Finding(
                stream=stream,
                code="too_many_gone",
                text=f"The provider no longer knows {len(gone)} of {held} calls, which is more than max_delete_share allows; "
                "nothing was marked as deleted.",
            )
        )
        return

    def bury(page: PageTransaction, counters: Counters) -> None:
        counters.deleted += page.bury([call.call_id for call in gone], gone_at=task.clock.now())

    task.write(bury)


def _still_answers(task: Task, stream: str, gone: set[str]) -> bool:
    """Whether the provider still knows another held call of the stream; only then does a 404 mean that the call is gone."""
    newest = task.warehouse.newest(connection=task.connection, stream=stream, before=None, limit=len(gone) + 3)
    for held in [held for held in newest if held.call_id not in gone][:3]:
        try:
            task.source.meet(stream=stream, call_id=held.call_id)
        except AuthenticationFailed:
            raise
        except ConnectionFailed:
            continue
        return True
    return False
