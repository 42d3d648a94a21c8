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
        old="named = [record.call_id not in erased and shield.names(record.value) for record in records]",
        new="named = [False for record in records]",
        tests=TESTS,
    ),
    Mutant(
        name="pages are loaded as if nothing were erased",
        file=LOADING,
        old="    if page.erasing is not None:\n        observed = ",
        new="    if page.erasing is not None and not observed:\n        observed = ",
        tests=TESTS,
    ),
)
