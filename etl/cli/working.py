"""`etl worker`: keeps every connection fresh until it is told to stop; `etl queue`: what the workers do."""

from __future__ import annotations

import os

from etl.cli import interpreter
from etl.cli.output import say, show_json, worst_code
from etl.cli.syncing import interruptible
from etl.cli.table import show_table
from etl.config import load
from etl.log import configure
from etl.system import system_effects
from etl.wiring import Invocation, open_warehouse, require_warehouse, settings_of


def run_worker(invocation: Invocation, *, once: bool) -> int:
    """Work, and return the exit code. What happens is logged: a worker's output is read by machines."""
    from etl.worker.process import Process

    path, _ = invocation
    settings = load(path, os.environ)
    configure(secrets=settings.secrets, level="info")
    interpreter.set_up()
    with interruptible() as stop:
        codes = Process(settings=settings, effects=system_effects, stop=stop).work(once=once)
    return worst_code(codes) if once else 0


def show_queue(invocation: Invocation, *, as_json: bool) -> None:
    """Show the workers, what they do now, what waits, and what was left by killed ones."""
    from etl.warehouse.reports import queue

    settings = settings_of(invocation)
    with open_warehouse(settings) as opened:
        require_warehouse(opened)
        workers, jobs = queue.workers(opened.database), queue.jobs(opened.database)
    if as_json:
        show_json({"workers": workers, "jobs": jobs})
        return
    say(f"Workers alive: {sum(worker['alive'] for worker in workers)}.")
    if not jobs:
        say("Nothing waits, nothing is at work.")
        return
    columns = ("connection", "job", "state", "since", "worker")
    show_table(columns, [tuple(job[column] for column in columns) for job in jobs])
