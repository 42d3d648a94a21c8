"""
Tries every mutant, and tells by what each was caught and in how many seconds.

    python -m tests.mutants                          those that stand in the results file are not tried again
    python -m tests.mutants --only "fence" --only "mark"    those whose names hold one of these words
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.mutants.every import MUTANTS
from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.trying import LONGEST, apply, caught_by, copied, failing, restore
from tests.postgres import running

RESULTS = Path(".mutants.jsonl")
PATIENCE = 1800.0
"""How many seconds all tests that any mutant names may take without one."""

APPLIES_NO_LONGER = "no longer applies"
NOT_IN_TIME = f"nothing in {LONGEST:.0f} s"
NOTHING = "nothing"
MISSED = frozenset({APPLIES_NO_LONGER, NOT_IN_TIME, NOTHING})


def try_all(mutants: Iterable[Mutant], *, results: Path) -> list[dict[str, Any]]:
    """Return how each was caught, in the order given. Raises SystemExit where a test fails without any fault."""
    mutants = list(mutants)
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    found = {one["key"]: one for one in map(json.loads, lines)}
    todo = [mutant for mutant in mutants if mutant.key not in found]
    if todo:
        with copied() as tree, running() as server:
            os.environ["ETL_TEST_SERVER"] = server.url  # one for all tests: to start one takes longer than most of them
            _require_sound(todo, tree)
            for turn, mutant in enumerate(todo):
                one = _tried(mutant, tree, turn=2 * turn)
                found[mutant.key] = one
                _say(f"{one['seconds']:>6.1f} s  {mutant.name}: {one['by']}")
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one) + "\n")
    return [found[mutant.key] for mutant in mutants]


def _require_sound(mutants: list[Mutant], tree: Path) -> None:
    """A test that fails without a fault would catch every one. All at once: to begin takes longer than most of them."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    if tests and (broken := failing(tests, tree, ends=time.monotonic() + PATIENCE)) is not None:
        raise SystemExit(f"Without any fault this fails: {broken}")


def _tried(mutant: Mutant, tree: Path, *, turn: int) -> dict[str, Any]:
    began = time.monotonic()
    try:
        before = apply(mutant, tree, turn=turn)
    except DoesNotApply:
        by = APPLIES_NO_LONGER
    else:
        try:
            by = caught_by(mutant, tree) or NOTHING
        except TimeoutError:
            by = NOT_IN_TIME
        finally:
            restore(mutant, tree, before, turn=turn + 1)
    return {"key": mutant.key, "name": mutant.name, "by": by, "seconds": round(time.monotonic() - began, 1)}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Return the exit code: 1 if any mutant was not caught, or no longer applies."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Put faults into a copy of the program.")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="only mutants whose names hold this word")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"the results file (default: {RESULTS})")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that neither the copy nor a server stays behind
    chosen = [mutant for mutant in MUTANTS if not given.only or any(word in mutant.name for word in given.only)]
    found = try_all(chosen, results=given.results)
    _say("| mutant | caught by | s |\n|---|---|---|")
    for one in found:
        _say(f"| {one['name']} | {_shortened(one['by'])} | {one['seconds']:.0f} |")
    missed = [one["name"] for one in found if one["by"] in MISSED]
    _say(f"{len(found)} mutants, {len(missed)} not caught" + "".join(f"\n  {name}" for name in missed))
    return int(bool(missed))


def _shortened(by: str) -> str:
    return f"`{by.removeprefix('tests/')}`" if by.startswith("tests/") else by


if __name__ == "__main__":
    sys.exit(main())
