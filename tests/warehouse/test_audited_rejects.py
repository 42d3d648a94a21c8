"""Which rejects an audit counts: those that are open, and whose calls are not held beside them."""

from __future__ import annotations

from etl.coverage import Spans
from etl.runs.loading import load_page
from etl.runs.terms import Observed, RunKind, Trigger
from etl.system import SystemThreads
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.postgres import PostgresWarehouse
from tests.memory.acme import account, at, call, record


def test_only_open_rejects_of_calls_that_are_not_held_count(shared_database: Database) -> None:
    """One that came right is none any more, whatever became of its call; one beside its held call would count that call twice."""
    one = account(connection="audited_rejects")
    with Locks(shared_database, SystemThreads()) as locks:
        loading, audited = PostgresWarehouse(shared_database, locks), AuditedWarehouse(shared_database, locks)
        run_id = loading.open_run(one, kind=RunKind.SYNC, trigger=Trigger.CLI)

        def load(*values: object, seen: float) -> None:
            observed = Observed(stream="calls", records=[record(value) for value in values], observed_at=at(seen), due_at=None)
            with loading.page(one, run_id=run_id) as page:
                load_page(page, one, observed, run_id=run_id, covered=Spans(), listed_there=lambda _: True)

        bad = {name: {"id": name, "created": "never"} for name in ("stays", "comes right", "is held")}
        load(*bad.values(), {"created": at(0).isoformat()}, seen=5)
        load(call("comes right", 0), call("is held", 0), seen=6)
        load(bad["is held"], seen=7)
        with loading.page(one, run_id=run_id) as page:
            page.bury(["comes right"], gone_at=at(8))

        rejects = audited.open_rejects(connection=one.connection, stream="calls")
        assert sorted(reject.call_id or "" for reject in rejects) == ["", "stays"]
        assert audited.open_rejects(connection=one.connection, stream="other") == ()


def test_an_id_in_two_streams_that_none_holds_is_a_missing_call(shared_database: Database) -> None:
    """While the row of the first stream is held, the record of the second one stands beside it; then it makes up for none."""
    one = account(connection="audited_twice")
    with Locks(shared_database, SystemThreads()) as locks:
        loading, audited = PostgresWarehouse(shared_database, locks), AuditedWarehouse(shared_database, locks)
        run_id = loading.open_run(one, kind=RunKind.SYNC, trigger=Trigger.CLI)
        for stream, seen in (("calls", 5), ("other", 6)):
            observed = Observed(stream=stream, records=[record(call("c1", 0))], observed_at=at(seen), due_at=None)
            with loading.page(one, run_id=run_id) as page:
                load_page(page, one, observed, run_id=run_id, covered=Spans(), listed_there=lambda _: True)

        assert [one.call_id for one in audited.open_rejects(connection=one.connection, stream="other")] == ["c1"]
        with loading.page(one, run_id=run_id) as page:
            page.bury(["c1"], gone_at=at(8))
        assert audited.open_rejects(connection=one.connection, stream="other") == ()
