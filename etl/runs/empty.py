"""
Decides what a list without a call proves: an agent may have none, but an outage, or another account, answers the same.

It is believed once the run has seen that the account is the right one and answers: another of its lists has shown a call that is
held, or has brought calls to a connection that nothing was read of before. Which of the lists is read first does not matter.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from etl.coverage import ORIGIN, Span, Spans
from etl.runs.context import Empty, Task
from etl.runs.port import PageTransaction
from etl.runs.state import StreamState
from etl.runs.terms import Counters


def claim_empty(task: Task, *, begun: bool) -> None:
    """
    Take the streams whose lists showed no call for read up to the instant at which they were asked, if that is to be believed.

    `begun` says whether anything of the connection was read by an earlier run.
    """
    if not task.account_seen and (begun or not task.counters.inserted):
        return
    states = {stream: _read_before(one, lookback=task.account.lookback) for stream, one in task.empty.items()}

    def save(page: PageTransaction, _: Counters) -> None:
        for stream, state in states.items():
            page.save_state(stream, state)

    if states:
        task.write(save)


def _read_before(one: Empty, *, lookback: timedelta) -> StreamState:
    begins = one.state.domain_start
    read = Spans([Span(begins or ORIGIN, one.instant)])
    # Without a start date a stream begins where the provider's list ends: of one without a call, where no call can be older.
    return one.state.after(replace(one.step, read=read, horizon=ORIGIN if begins is None else None), lookback=lookback)
