"""Faults in what a page's transaction writes into Postgres, and in what the masked views show."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LOADING, PAGES, WRITING = (f"tests/conformance/test_{name}.py" for name in ("loading", "pages", "writing"))
LOADED = "tests/warehouse/loading/test_loading.py"
UPSERT = "etl/warehouse/loading/upsert.py"
LOAD = "etl/warehouse/loading/load.py"

MUTANTS = (
    Mutant(
        name="the fence is skipped",
        file="etl/warehouse/loading/fence.py",
        old="connection = %s AND owner_run = %s FOR UPDATE",
        new="connection = %s AND owner_run >= 0 * %s FOR UPDATE",
        tests=(f"{PAGES}::test_a_run_that_was_taken_over_writes_no_more",),
    ),
    Mutant(
        name="an older list record goes over a newer one",
        file=UPSERT,
        old="where=(calls.c.observed_at <= new.observed_at)",
        new="where=(calls.c.observed_at.is_not(None))",
        tests=(
            f"{WRITING}::test_an_update_that_is_older_than_either_record_held_is_left_out",
            "tests/warehouse/loading/test_loading.py::test_the_statement_itself_refuses_what_is_older",
        ),
    ),
    Mutant(
        name="one column is left as it was by an update",
        file=UPSERT,
        old='KEPT = frozenset({"connection", "call_id", "first_seen_at"})',
        new='KEPT = frozenset({"connection", "call_id", "first_seen_at", "latency_ms"})',
        tests=(f"{LOADING}::test_an_update_leaves_no_column_as_it_was",),
    ),
    Mutant(
        name="children are not replaced with their call",
        file=LOAD,
        old="self._replace_children([entry for entry in entries if entry.call.call_id in written])",
        new="_ = written",
        tests=(
            f"{LOADING}::test_an_update_leaves_no_column_as_it_was",
            "tests/warehouse/loading/test_loading.py::test_a_change_supersedes_what_was_held",
        ),
    ),
    Mutant(
        name="copying first has no way back where a call is held after all",
        file=LOAD,
        old="except (*REFUSALS, psycopg.errors.UniqueViolation, _UNTOLD):",
        new="except (*REFUSALS, _UNTOLD):",
        tests=(f"{WRITING}::test_a_draft_of_which_one_call_cannot_be_written_writes_none",),
    ),
    Mutant(
        name="the children of a buried call stay",
        file="etl/warehouse/loading/history.py",
        old="        delete_children(connection, name, buried)\n",
        new="",
        tests=(f"{PAGES}::test_a_buried_call_leaves_for_the_history_its_children_with_it",),
    ),
    Mutant(
        name="a version that ends when it began stands in the history",
        file="etl/warehouse/loading/history.py",
        old="greatest(n.last_changed_at, c.last_changed_at + interval '1 microsecond'), false",
        new="n.last_changed_at, false",
        tests=(f"{LOADING}::test_two_versions_of_one_instant_follow_each_other",),
    ),
    Mutant(
        name="the days of a changed call are not marked for the roll-ups",
        file=LOAD,
        old="        mark_changed(self._connection, self._name)\n        supersede(",
        new="        supersede(",
        tests=(f"{LOADED}::test_the_days_of_a_call_that_is_replaced_or_removed_are_touched",),
    ),
    Mutant(
        name="the days of a buried call are not marked for the roll-ups",
        file="etl/warehouse/loading/history.py",
        old="    mark_held(connection, name, call_ids)\n",
        new="",
        tests=(f"{LOADED}::test_the_days_of_a_call_that_is_replaced_or_removed_are_touched",),
    ),
    Mutant(
        name="a masked view shows a raw column",
        file="migrations/versions/0008_masked.py",
        old="calls.first_seen_at, calls.last_changed_at, calls.parent_call_id, calls.changed_at\n        FROM public.calls",
        new="calls.first_seen_at, calls.last_changed_at, calls.parent_call_id, calls.changed_at, calls.transcript\n"
        "        FROM public.calls",
        tests=("tests/warehouse/masked/test_masked.py",),
    ),
)
