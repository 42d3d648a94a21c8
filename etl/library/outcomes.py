"""How syncs and audits ended, as a host gets it: values that do not change any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from etl.audit.port import AuditOutcome as Audited
from etl.audit.port import Disagreement, StreamVerdict
from etl.errors import EtlError
from etl.model import Verdict
from etl.runs.terms import Counters, Finding, RunStatus
from etl.runs.terms import Outcome as Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """
    What a run did. The same numbers stand in its row of `sync.runs`.

    `requests` sent to the provider, `retries` among them; `pages` loaded with `records_seen`; calls `inserted`, `updated`, found
    `unchanged`, and `deleted` as they are gone at the provider; records `rejected`, which are kept with the reason; `late` calls:
    new ones in what had been read before, and the most that one was late.
    """

    requests: int = 0
    retries: int = 0
    pages: int = 0
    records_seen: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    rejected: int = 0
    late: int = 0
    max_lateness: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    How a sync of one connection ended.

    `run_id` is the run's id in `sync.runs`, and `status` how it ended: succeeded, partial (stopped, or the day's requests are
    spent: the next run continues) or failed; both are None where no run was begun. `error` says why it did not succeed.
    `findings` are remarks on a run whatever its status: a gap that stays, a list out of order.
    """

    connection: str
    run_id: int | None
    status: RunStatus | None
    counters: Counts
    findings: tuple[Finding, ...]
    error: EtlError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOutcome(Outcome):
    """
    How an audit of one connection ended; only a repair is a run.

    `verdicts` holds one for each stream. `disagreements` is how many calls (or days of roll-ups) the warehouse has wrong, and
    `mended` how many of them a repair put right; up to a thousand are `named`, with what differs and never a value. `checked` is
    the number of calls compared with their own records.
    """

    verdicts: tuple[StreamVerdict, ...]
    named: tuple[Disagreement, ...]
    disagreements: int
    mended: int
    checked: int

    @property
    def requests(self) -> int:
        """The number of requests sent to the provider."""
        return self.counters.requests

    @property
    def stands(self) -> bool:
        """Whether the verdict on any stream is a mismatch."""
        return any(one.verdict is Verdict.MISMATCH for one in self.verdicts)


def of_sync(one: Ended) -> Outcome:
    """Return how a sync ended."""
    return Outcome(
        connection=one.connection,
        run_id=one.run_id,
        status=_status(one),
        counters=_counts(one.counters),
        findings=tuple(one.findings),
        error=one.error,
    )


def of_audit(one: Audited) -> AuditOutcome:
    """Return how an audit ended."""
    return AuditOutcome(
        connection=one.connection,
        run_id=one.run_id,
        status=_status(one),
        counters=_counts(one.counters),
        findings=tuple(one.findings),
        error=one.error,
        verdicts=tuple(one.verdicts),
        named=tuple(one.named),
        disagreements=one.disagreements,
        mended=one.mended,
        checked=one.checked,
    )


def _status(one: Ended) -> RunStatus | None:
    return None if one.run_id is None else one.status


def _counts(counters: Counters) -> Counts:
    return Counts(**{name: getattr(counters, name) for name in Counts.__slots__})
