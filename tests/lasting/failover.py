"""
Failovers from a primary server to a standby at random moments of a sync: what is told, and that nothing is lost or doubled.

    python -m tests.lasting.failover [--rounds 12] [--seed 1]

In turn the standby has everything (`followed`), or lacks what was committed in the last moments (`behind`); and it takes over
at once (`at_once`: the sync at work can reach the new server), or after the sync has ended (`later`). Then the next sync, an
audit, and a comparison with what is true. The lost primary is replaced by a new standby for the next round.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from etl.embedded.binaries import find
from etl.sandbox import NO_LIMITS, History, Sandbox
from etl.warehouse.database import Database
from etl.warehouse.schema import migrate
from tests.acceptance.cast import USUAL, per_day
from tests.acceptance.pair import Pair
from tests.acceptance.process import Hook, Program, held_and_true, rows
from tests.acceptance.stage import START
from tests.lasting.ticks import say

HELD = "SELECT count(*) FROM calls"
TWICE = "SELECT count(*) FROM (SELECT FROM calls GROUP BY connection, call_id HAVING count(*) > 1) AS more"


def main() -> int:
    """Play the rounds; the exit code is 1 if anything is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, hook, wrong = random.Random(options.seed), Hook(), 0
    rates = per_day(60, tuple=80, bimpe=60, salpre=50)
    history = History(3, start=START, past=timedelta(days=1), calls_per_day=rates, vanishing=0, agent_changes=(0, 0, 0))
    with (
        tempfile.TemporaryDirectory() as folder,
        Pair(find(None, wanted=None).folder) as pair,
        Sandbox(history, limits=NO_LIMITS, on_request=hook) as sandbox,
    ):
        with Database(pair.primary.url("warehouse")) as database:
            migrate(database)
        settings = {provider: {"per_page": 6} for provider in USUAL}
        program = Program(sandbox=sandbox, url="", folder=Path(folder), providers=tuple(USUAL), settings=settings)
        kinds = itertools.cycle(itertools.product(("followed", "behind"), ("at_once", "later")))
        for number, (got, when) in zip(range(options.rounds), kinds, strict=False):
            pair.follow()
            program.url = pair.url("warehouse")
            if number:
                history.advance(timedelta(days=1))
            wrong += one(pair, program, hook, chance=chance, got=got, when=when)
    say(f"{options.rounds} failovers, {wrong} of them not as they have to be")
    return 1 if wrong else 0


def one(pair: Pair, program: Program, hook: Hook, *, chance: random.Random, got: str, when: str) -> bool:
    """Play one failover, say what was seen, and return whether anything is wrong."""
    before: list[int] = []

    def fall_behind() -> None:
        pair.cut_off()
        hook.arm(chance.randint(4, 10), lose)

    def lose() -> None:
        before.append(rows(pair.primary.url("warehouse"), HELD)[0][0])
        if when == "at_once":
            pair.fail_over()
        else:
            pair.primary.kill()

    if got == "followed":
        pair.catch_up()
    hook.arm(chance.randint(8, 30), fall_behind if got == "behind" else lose)
    ended = program.run("sync")
    waiting = ""
    if when == "later":
        asked = program.run("status")  # while only a standby is there
        waiting = f"; meanwhile exit {asked.code}: {asked.lines[0] if asked.lines else 'served'}"
        pair.promote()
    ((after,),) = rows(pair.primary.url("warehouse"), HELD)
    again, audit = program.run("sync"), program.run("audit")
    held, true = held_and_true(program)
    missing = {name: len(true[name] - held[name]) for name in held if true[name] - held[name]}
    twice = rows(pair.primary.url("warehouse"), TWICE)[0][0]
    say(f"{got}, {when}: exit {ended.code}, {ended.lines[:1]}{waiting}")
    say(f"  calls at the loss {before}, at the new server {after}; then sync {again.code}, audit {audit.code}, missing {missing}")
    return (again.code, audit.code, missing, twice) != (0, 0, {}, 0) or ended.code not in (0, 1) or not before


if __name__ == "__main__":
    sys.exit(main())
