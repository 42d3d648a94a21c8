"""Faults that would let in again what was erased."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ERASING = "etl/runs/erasing.py"
LOADING = "etl/runs/loading.py"
TESTS = ("tests/acceptance/test_forgetting.py::test_what_was_erased_comes_in_again_without_what_it_says",)

MUTANTS = (
    Mutant(
        name="an erased call is let in again by a list",
        file=ERASING,
        old="erased = erasing.erased_among({record.call_id for record in records if record.call_id is not None})",
        new="erased = frozenset[str]()",
        tests=TESTS,
    ),
    Mutant(
        name="an erased call is let in again by its detail",
        file=ERASING,
        old="if erasing.erased_among({call_id}):",
        new="if not call_id:",
        tests=TESTS,
    ),
    Mutant(
        name="somebody forgotten is let in again with a new call",
        file=ERASING,
        old="not (clear and _is_plain(one)) and _is_named(shield, one) for one in records]",
        new="False for one in records]",
        tests=TESTS,
    ),
    Mutant(
        name="a page is searched for somebody forgotten no further than its first record",
        file=ERASING,
        old="shield.may_name(one.text for one in records if",
        new="shield.may_name(one.text for one in records[:1] if",
        tests=(
            "tests/warehouse/privacy/test_erasing.py::test_wherever_on_a_page_somebody_is_named_that_call_is_cut_and_no_other",
        ),
    ),
    Mutant(
        name="pages are loaded as if nothing were erased",
        file=LOADING,
        old="    if page.erasing is not None:\n        observed = ",
        new="    if page.erasing is not None and not observed:\n        observed = ",
        tests=TESTS,
    ),
)
