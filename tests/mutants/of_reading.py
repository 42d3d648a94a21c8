"""Faults in how lists are read, and in what each page proves."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WALKS = "tests/unit/reading/walks/test_walks_claim_only_what_they_read.py"
CONTRADICTIONS = "tests/unit/reading/walks/test_lists_that_contradict_themselves.py"
NEWEST_FIRST = "etl/reading/walks/newest_first.py"
ASCENDING = "etl/reading/walks/ascending.py"

MUTANTS = (
    Mutant(
        name="settled is credited by the time of the last page, not of the first request",
        file="etl/reading/walks/step.py",
        old="first = self._first = self._first or page",
        new="first = self._first = page",
        tests=(f"{WALKS}::test_what_settles_is_counted_from_the_first_request_however_late_the_last_page_is",),
    ),
    Mutant(
        name="a tie across pages is claimed though not all of its calls were seen",
        file=NEWEST_FIRST,
        old="hole = Spans([Span(edge, edge + TICK)]) if edge is not None and not tie_proven else Spans()",
        new="hole = Spans()",
        tests=(f"{WALKS}::test_an_instant_of_which_a_call_is_never_shown_is_not_claimed",),
    ),
    Mutant(
        name="the last instant of a page is claimed too (newest first)",
        file=NEWEST_FIRST,
        old="low = min(bound, shape.last + TICK + shape.slack)",
        new="low = min(bound, shape.last + shape.slack)",
        tests=(f"{WALKS}::test_the_instant_of_a_pages_last_call_is_not_claimed_before_the_next_page",),
    ),
    Mutant(
        name="the last instant of a page is claimed too (ascending)",
        file=ASCENDING,
        old="read = Spans([Span(self.bound, edge)])",
        new="read = Spans([Span(self.bound, edge + timedelta(microseconds=1))])",
        tests=(f"{WALKS}::test_ascending_cut_at_any_step_has_read_every_living_call_it_claims",),
    ),
    Mutant(
        name="an ascending walk goes on at the last second, not one before it",
        file=ASCENDING,
        old="following = whole_second(edge) - SECOND",
        new="following = whole_second(edge) + SECOND",
        tests=(f"{WALKS}::test_ascending_cut_at_any_step_has_read_every_living_call_it_claims",),
    ),
    Mutant(
        name="a horizon is set though the end of the list is unsure",
        file=NEWEST_FIRST,
        old="if ended.surely and self.lowest_seen is not None:",
        new="if ended.here and self.lowest_seen is not None:",
        tests=(f"{CONTRADICTIONS}::test_a_list_whose_total_is_wrong_is_read_to_its_end_and_has_none",),
    ),
    Mutant(
        name="no step back on a total that shrinks",
        file=NEWEST_FIRST,
        old="        self._step_back(-(-(before - total) // self.size))\n        return True",
        new="        return False",
        tests=(f"{WALKS}::test_where_more_calls_go_than_a_page_holds_the_walk_steps_back_as_many_pages",),
    ),
    Mutant(
        name="a landing below the gap is taken",
        file=NEWEST_FIRST,
        old="if shape.first is not None and shape.first >= self.bound:",
        new="if shape.first is not None:",
        tests=(f"{WALKS}::test_newest_first_resumes_below_what_is_held_and_closes_the_gap",),
    ),
    Mutant(
        name="after a landing that was too low the walk jumps there again",
        file=NEWEST_FIRST,
        old="self.too_low = min(self.number, self.too_low or self.number)",
        new="self.too_low = None",
        tests=(f"{WALKS}::test_where_far_fewer_calls_are_listed_than_held_the_gap_is_come_to_page_by_page",),
    ),
    Mutant(
        name="a scan is proven by the smaller of two totals",
        file="etl/reading/walks/scan.py",
        old="return len(self.seen) >= max(self.totals[0], self.totals[-1])",
        new="return len(self.seen) >= min(self.totals[0], self.totals[-1])",
        tests=(f"{CONTRADICTIONS}::test_a_scan_is_proven_by_the_larger_total",),
    ),
    Mutant(
        name="a list without order is forgotten to be one",
        file="etl/reading/pager.py",
        old="self.found = replace(self.found, unsorted=True)",
        new="self.found = replace(self.found, unsorted=False)",
        tests=("tests/unit/reading/test_source.py::test_that_no_style_keeps_the_order_is_remembered",),
    ),
    Mutant(
        name="the end of a list is believed though its total is not reached",
        file="etl/reading/walks/ending.py",
        old="return not more and (total is None or reached >= total)",
        new="return not more",
        tests=(f"{WALKS}::test_a_short_page_is_no_end_before_its_total_is_reached",),
    ),
    Mutant(
        name="a 404 that names nothing counts as a part that is not there",
        file="etl/reading/parts.py",
        old="if refusal.naming not in ABSENT:",
        new="if refusal.naming not in (*ABSENT, None):",
        tests=("tests/unit/reading/test_parts.py::test_a_part_that_fails_is_a_failure_of_the_detail",),
    ),
)
