"""
`/metrics`, in Prometheus' own format: docs/monitoring.md says what each family means.

All of it is read from the warehouse when it is asked for, but for what only this process knows (`Meters`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from etl.config import ConnectionSettings
from etl.runs.terms import RunStatus
from etl.warehouse.database import Database
from etl.warehouse.reports import figures
from etl.warehouse.reports.gaps import gaps
from etl.warehouse.reports.tally import BOUNDS, Counted, Ended
from etl.worker.web.allowances import used
from etl.worker.web.site import Site

ONE = ("connection",)

NEVER = 0.0
"""The time of a success that never was: so a rule about the age of the last one speaks of it too."""

NOT_BEGUN = "not_begun"
"""The status of runs that were not begun, since another one was at work or another process had the account."""

LIVE = {
    "lag_seconds": ("etl_lag_seconds", "How far what was read lies behind now"),
    "open_calls": ("etl_open_calls", "Calls that have not ended"),
    "details_due": ("etl_details_due", "Calls with a detail that is still to be asked for, now or later"),
    "details_failing": ("etl_details_failing", "Calls whose detail could not be had the last time"),
    "rejects": ("etl_rejects", "Records that could not become a call, and did not since"),
    "drift": ("etl_drift", "Ways in which the provider's records depart from its documentation"),
}
"""What each connection has one number of, by its column."""


def exposition(site: Site, accept: str) -> tuple[bytes, str]:
    """Return all metrics and the content type that suits whoever asks. Raises WarehouseError."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    with site.open() as database:
        registry.register(_Given(list(families(site, database))))
    return encode(registry), content_type


def families(site: Site, database: Database) -> Iterator[Metric]:
    """Yield every family, in the order of their names in the documentation. Raises WarehouseError."""
    connections = site.settings.connections
    rows = {row["connection"]: row for row in figures.connections(database) if row["connection"] in connections}
    whole = figures.whole(database)
    yield from _freshness(connections, rows)
    yield _gaps(database, connections)
    for column, (name, text) in LIVE.items():
        yield _gauge(name, text, ONE, (((one,), row[column]) for one, row in rows.items()))
    yield from _runs(site, database)
    yield _throttled(site)
    yield from _allowances(database, connections, now=site.clock.now())
    yield from _queue(database, connections)
    yield _gauge(
        "etl_last_proof_timestamp_seconds",
        "When the connection was audited last; verdict is the worst of its streams: complete, unverifiable or mismatch",
        ("connection", "verdict"),
        (((one, row["proof"]), _seconds(row["proved_at"])) for one, row in rows.items()),
    )
    yield _gauge("etl_schema_info", "The version of the warehouse's schema", ("version",), [((whole.version,), 1)])
    yield _gauge("etl_database_bytes", "The size of the warehouse's database", (), [((), whole.bytes)])


def _freshness(connections: Iterable[str], rows: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    succeeded = {one: rows[one]["last_success"] if one in rows else None for one in connections}
    yield _gauge(
        "etl_last_success_timestamp_seconds",
        "When the last successful sync ended; 0 before the first",
        ONE,
        (((one,), NEVER if at is None else _seconds(at)) for one, at in succeeded.items()),
    )
    yield _gauge(
        "etl_complete_until_timestamp_seconds",
        "Everything before this instant was read without a gap",
        ONE,
        (((one,), _seconds(row["complete_until"])) for one, row in rows.items()),
    )


def _gaps(database: Database, connections: Iterable[str]) -> Metric:
    found = {(one, closable): 0 for one in connections for closable in (True, False)}
    for gap in gaps(database):
        if (gap.connection, gap.closable) in found:
            found[gap.connection, gap.closable] += 1
    return _gauge(
        "etl_gaps",
        "Stretches of time that were not read: closable by a later run, or lost",
        ("connection", "closable"),
        (((one, str(closable).lower()), number) for (one, closable), number in found.items()),
    )


def _runs(site: Site, database: Database) -> Iterator[Metric]:
    sums = {Ended(one, RunStatus.SUCCEEDED.value, ""): Counted() for one in site.settings.connections}
    sums |= {ended: one for ended, one in site.tally.read(database).items() if ended.connection in site.settings.connections}
    runs = CounterMetricFamily(
        "etl_runs",
        "Runs that ended, by how; not_begun are those of this worker alone that found another one at work",
        labels=("connection", "status", "error_code"),
    )
    for ended, counted in sorted(sums.items()):
        runs.add_metric(ended, counted.runs)
    for (connection, code), number in sorted(site.meters.runs_not_begun().items()):
        runs.add_metric((connection, NOT_BEGUN, code), number)
    yield runs
    yield _durations(sums)
    requests: dict[tuple[str, str], int] = defaultdict(int)
    retries: dict[str, int] = defaultdict(int)
    for ended, counted in sums.items():
        requests[ended.connection, ended.status] += counted.requests
        retries[ended.connection] += counted.retries
    family = CounterMetricFamily(
        "etl_requests",
        "Requests sent to the provider, by how their run ended, counted when it did",
        labels=("connection", "status"),
    )
    for labels, number in sorted(requests.items()):
        family.add_metric(labels, number)
    yield family
    again = CounterMetricFamily("etl_retries", "Requests that had to be sent again, counted when their run ended", labels=ONE)
    for connection, number in sorted(retries.items()):
        again.add_metric((connection,), number)
    yield again


def _durations(sums: Mapping[Ended, Counted]) -> Metric:
    family = HistogramMetricFamily("etl_run_seconds", "How long runs took that ended", labels=ONE)
    by_connection: dict[str, list[Counted]] = defaultdict(list)
    for ended, counted in sums.items():
        by_connection[ended.connection].append(counted)
    for connection, ways in sorted(by_connection.items()):
        buckets = [(str(float(bound)), sum(one.within[place] for one in ways)) for place, bound in enumerate(BOUNDS)]
        buckets.append(("+Inf", sum(one.runs for one in ways)))
        family.add_metric((connection,), buckets, sum(one.seconds for one in ways))
    return family


def _throttled(site: Site) -> Metric:
    family = CounterMetricFamily(
        "etl_throttled_seconds", "Seconds for which this worker held requests back, to keep to the allowance", labels=ONE
    )
    for connection, seconds in sorted({**dict.fromkeys(site.settings.connections, 0.0), **site.meters.throttled()}.items()):
        family.add_metric((connection,), seconds)
    return family


def _allowances(database: Database, connections: Mapping[str, ConnectionSettings], *, now: datetime) -> Iterator[Metric]:
    labels = ("connection", "account", "per")
    found = [
        ((name, str(one.account), _per(use.per.total_seconds() if use.per else None)), use)
        for name, one in sorted(used(database, connections, now=now).items())
        for use in one.limits
    ]
    yield _gauge(
        "etl_allowance_used",
        "Requests of an account's allowance that are used: in the time that per names, or on the UTC day",
        labels,
        ((given, use.used) for given, use in found),
    )
    yield _gauge(
        "etl_allowance_limit",
        "Requests that an account is allowed in that time; connections with one account number share them",
        labels,
        ((given, use.allowed) for given, use in found),
    )


def _per(seconds: float | None) -> str:
    return "day" if seconds is None else f"{seconds:g}s"


def _queue(database: Database, connections: Iterable[str]) -> Iterator[Metric]:
    found = figures.queued(database)
    nothing = figures.Queued(0, 0)
    rows = [(one, found.get(one, nothing)) for one in connections] if found is not None else []
    yield _gauge("etl_queue_waiting", "Jobs that wait in the workers' queue", ONE, (((one,), jobs.waiting) for one, jobs in rows))
    yield _gauge(
        "etl_jobs_stalled",
        "Jobs at work whose worker shows no sign of life, and that no other one has cleared away yet",
        ONE,
        (((one,), jobs.stalled) for one, jobs in rows),
    )


def _gauge(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float | None]]
) -> GaugeMetricFamily:
    """Return a family; a sample without a value is left out."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for given, value in samples:
        if value is not None:
            family.add_metric(given, value)
    return family


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


class _Given(Collector):
    """Hands over families that were made before."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found
