"""Faults in what a run reads, believes, settles, asks for and moves to the history, and in audit and replay."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

STATE, STREAM, MISSING = (f"tests/unit/runs/test_{name}.py" for name in ("state", "stream", "missing"))
DETAILS, PROOF, SYNC = (f"tests/unit/runs/test_{name}.py" for name in ("details", "proof", "sync"))

MUTANTS = (
    Mutant(
        name="> for >= at the start date",
        file="etl/runs/stream.py",
        old="record.cursor >= self.floor)",
        new="record.cursor > self.floor)",
        tests=(f"{STREAM}::test_what_is_older_than_the_start_date_is_neither_loaded_nor_claimed",),
    ),
    Mutant(
        name="the lookback is counted from now, not from the provider's clock",
        file="etl/runs/state.py",
        old="read_so_far.below(step.settles_before - lookback)",
        new="read_so_far.below(step.sent_at - lookback)",
        tests=(f"{STATE}::test_the_lookback_counts_back_from_what_the_step_says_and_not_from_our_clock",),
    ),
    Mutant(
        name="what settled by a shorter lookback stays settled by a longer one",
        file="etl/runs/stream.py",
        old="state.unsettled(task.clock.now() - task.account.lookback)",
        new="state",
        tests=(f"{STREAM}::test_what_settled_by_a_shorter_lookback_is_read_again_where_it_is_made_longer",),
    ),
    Mutant(
        name="the mark goes through a gap",
        file="etl/runs/state.py",
        old="return self.coverage.gapless_until(start) if start is not None else None",
        new="return self.coverage.last.end if start is not None and self.coverage else None",
        tests=(f"{STATE}::test_the_mark_waits_below_a_gap",),
    ),
    Mutant(
        name="coverage reaches further ahead of our clock than the lookback",
        file="etl/runs/state.py",
        old="self.coverage | step.read.below(step.sent_at + lookback)",
        new="self.coverage | step.read",
        tests=(f"{STATE}::test_nothing_is_covered_further_ahead_of_our_clock_than_the_lookback",),
    ),
    Mutant(
        name="claims are not taken back where the order is violated",
        file="etl/runs/stream.py",
        old="state = before if step.takes_back else self.state.after(step, lookback=task.account.lookback)",
        new="state = self.state.after(step, lookback=task.account.lookback)",
        tests=(f"{STREAM}::test_claims_are_taken_back_where_the_order_is_violated",),
    ),
    Mutant(
        name="the cap on calls found gone is ignored",
        file="etl/runs/gone.py",
        old="if not task.account.believes_deleted(len(gone), of=held):",
        new="if held < 0:",
        tests=(f"{DETAILS}::test_more_calls_gone_than_the_cap_allows_delete_nothing",),
    ),
    Mutant(
        name="the cap on missing calls is ignored",
        file="etl/runs/missing.py",
        old="if not self.account.believes_deleted(missed, of=held):",
        new="if held < 0:",
        tests=(f"{STREAM}::test_more_missing_calls_than_the_cap_allows_delete_nothing",),
    ),
    Mutant(
        name="an empty page needs no anchor",
        file="etl/runs/proof.py",
        old="if not anchors or self._shows(step, anchors) or self._meets(step):",
        new="if not anchors or not step.records or self._meets(step):",
        tests=(f"{STREAM}::test_an_empty_answer_over_calls_held_settles_nothing",),
    ),
    Mutant(
        name="a 404 that names nothing counts as gone",
        file="etl/runs/details.py",
        old='return isinstance(self.failure, NotFound) and self.failure.naming == "call"',
        new="return isinstance(self.failure, NotFound)",
        tests=(f"{DETAILS}::test_a_404_that_names_nothing_deletes_nothing",),
    ),
    Mutant(
        name="retention is ignored where calls are missing from a list",
        file="etl/runs/missing.py",
        old="read = step.read if self.kept_since is None else step.read.above(self.kept_since)",
        new="read = step.read",
        tests=(f"{MISSING}::test_what_the_retention_has_aged_out_is_not_missing",),
    ),
    Mutant(
        name="retention is ignored where a call's own address does not know it",
        file="etl/runs/gone.py",
        old="gone = [call for call in gone if call.cursor >= kept_since]",
        new="gone = list(gone)",
        tests=(f"{DETAILS}::test_what_the_retention_has_aged_out_is_not_gone",),
    ),
    Mutant(
        name="the organisation is not checked on details",
        file="etl/runs/details.py",
        old="task.check_organization(tuple(answer.detail for answer in answers if answer.detail is not None), page)",
        new="task.check_organization((), page)",
        tests=(f"{DETAILS}::test_the_organisation_is_checked_on_details_too",),
    ),
    Mutant(
        name="late parts are waited for from the cursor, not from the end",
        file="etl/runs/details.py",
        old="settles = (call.ended_at or call.cursor_at) + task.account.lookback",
        new="settles = call.cursor_at + task.account.lookback",
        tests=(f"{DETAILS}::test_late_parts_are_waited_for_until_the_lookback_after_the_end",),
    ),
    Mutant(
        name="streams of closed agents are read again",
        file="etl/runs/streams.py",
        old="known = [stream for stream, state in states.items() if state.closed_at is None]",
        new="known = list(states)",
        tests=(f"{SYNC}::test_an_agent_that_is_gone_closes_its_stream_and_touches_no_call",),
    ),
    Mutant(
        name="an empty list is believed though nothing shows that the account answers",
        file="etl/runs/empty.py",
        old="if not task.account_seen and (begun or not task.counters.inserted):",
        new="if not task.empty:",
        tests=("tests/unit/runs/test_empty.py",),
    ),
    Mutant(
        name="what is missing and not decided yet is settled",
        file="etl/runs/missing.py",
        old="return replace(state, settled=state.settled - (self.undecided | more))",
        new="return replace(state, settled=state.settled - (Spans() & more))",
        tests=(f"{MISSING}::test_a_run_that_ends_early_leaves_it_to_the_next_one_which_calls_are_gone",),
    ),
    Mutant(
        name="an older list moves a call to its stream",
        file="etl/runs/loading.py",
        old="if one.held.observed_at <= observed.observed_at",
        new="if one.held is not None",
        tests=("tests/conformance/test_rejects.py::test_a_call_does_not_move_by_an_older_page",),
    ),
    Mutant(
        name="a replay loads rejects as of now",
        file="etl/runs/retrying.py",
        old="batches[kept.stream, kept.last_seen_at].append((kept, record))",
        new="batches[kept.stream, now].append((kept, record))",
        tests=("tests/unit/runs/test_retrying.py",),
    ),
    Mutant(
        name="an audit forgives rejects that the provider no longer lists",
        file="etl/audit/counts.py",
        old="return self.provider == self.held + self.rejected",
        new="return self.held <= self.provider <= self.held + self.rejected",
        tests=("tests/unit/audit/test_counts.py::test_complete_is_what_is_held_and_rejected_together_and_nothing_else",),
    ),
)
