"""
The call warehouse in Airflow: one DAG brings all connections up to date every 15 minutes, another one proves them every night.

    pip install . apache-airflow                    # `.` is the checkout of the call warehouse
    cp calls.py "$AIRFLOW_HOME/dags/"               # ETL_CONFIG says to the workers where the configuration is
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:  # what reads this file every half minute needs neither the library nor the configuration
    from etl.library import AuditOutcome, Outcome, Settings

CALLS = Asset("calls")
"""What a DAG that follows the calls is scheduled on: `schedule=[CALLS]`."""


class OnCalls(BaseOperator):
    """
    Calls the library for these connections (none named: all) and tells Airflow how each ended.

    One task for all, and in it one call: connections with one token share its allowance, and all of them the sessions. What that
    needs is opened in `execute`, after Airflow's fork, and closed with it.
    """

    def __init__(self, *, names: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names
        self.stop: Event | None = None

    def on_kill(self) -> None:
        """End after the page at hand. Five seconds later Airflow kills the process, by which nothing is lost either."""
        if self.stop:
            self.stop.set()

    def execute(self, context: Context) -> None:
        """Fail with the texts of all that failed, for the next run is the retry; be skipped where others do all of it."""
        from etl.library import load_settings

        logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells every address that is asked
        self.stop = Event()
        outcomes = self.call(load_settings(), self.stop)
        context["ti"].xcom_push(key="outcomes", value={one.connection: told(one) for one in outcomes})
        if failures := [text for one in outcomes for text in self.failures(one)]:
            raise AirflowFailException("\n".join(failures))
        busy = [str(one.error) for one in outcomes if one.error and one.error.exit_code == 3]
        if len(busy) == len(outcomes) > 0:
            raise AirflowSkipException("\n".join(busy))

    def call(self, settings: Settings, stop: Event) -> Sequence[Outcome]:
        """Call the library."""
        raise NotImplementedError

    def failures(self, one: Outcome) -> Iterator[str]:
        """Give the error, unless it says that another run is working on it."""
        if one.error and one.error.exit_code != 3:
            yield str(one.error)


class SyncCalls(OnCalls):
    """Brings connections up to date."""

    def call(self, settings: Settings, stop: Event) -> Sequence[Outcome]:
        """Sync."""
        from etl.library import sync

        return sync(settings, self.names, stop=stop)

    def failures(self, one: Outcome) -> Iterator[str]:
        """Leave out that the day's requests are used up: the next run continues."""
        if one.error and one.error.exit_code != 0:
            yield from super().failures(one)


class ProveCalls(OnCalls):
    """Proves connections against the providers' totals; what does not agree fails the task."""

    def call(self, settings: Settings, stop: Event) -> Sequence[Outcome]:
        """Audit."""
        from etl.library import audit

        return audit(settings, self.names, stop=stop)

    def failures(self, one: AuditOutcome) -> Iterator[str]:
        """Give what does not agree too."""
        yield from super().failures(one)
        if one.stands:
            yield f"Connection {one.connection}: disagreements: {one.disagreements}. To mend them: etl audit --repair"


def told(one: Outcome) -> dict[str, Any]:
    """Return what the next task may read of an outcome, as XCom `outcomes`."""
    return {
        "run": one.run_id,
        "status": one.status and one.status.value,
        "error": one.error and one.error.code,
        "inserted": one.counters.inserted,
        "updated": one.counters.updated,
        "deleted": one.counters.deleted,
        "findings": [finding.text for finding in one.findings],
    }


def calls(dag_id: str, *, schedule: str, names: Sequence[str] = (), proof: bool = False) -> DAG:
    """Return a DAG that syncs these connections (none named: all), and then proves them if that is asked for."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG(dag_id, schedule=schedule, start_date=start, catchup=False, max_active_runs=1, tags=["calls"]) as dag:
        synced = SyncCalls(task_id="sync", names=names, outlets=[CALLS])
        if proof:
            synced >> ProveCalls(task_id="prove", names=names, trigger_rule="none_failed")
    return dag


every_quarter = calls("calls", schedule="*/15 * * * *")
every_night = calls("calls_proven", schedule="37 2 * * *", proof=True)
