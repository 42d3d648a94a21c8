"""Names every mutant."""

from __future__ import annotations

from tests.mutants import of_erasing, of_reading, of_requests, of_runs, of_the_warehouse

MUTANTS = (*of_reading.MUTANTS, *of_runs.MUTANTS, *of_the_warehouse.MUTANTS, *of_requests.MUTANTS, *of_erasing.MUTANTS)
