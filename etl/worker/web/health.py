"""`/healthz` says whether the worker's loops move, `/readyz` whether it can do its work: yes or no, and a sentence."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from etl.errors import WarehouseError
from etl.warehouse import schema
from etl.warehouse.reports import figures
from etl.worker.web.site import Site

SILENT = timedelta(seconds=30)
"""A worker whose loops are so late, or whose queue has heard of no worker for so long, is not well."""


class Health(NamedTuple):
    """Whether all is well, and what is to be said about it."""

    well: bool
    sentence: str


def alive(site: Site) -> Health:
    """Say whether the worker's loops move."""
    late = site.silence()
    if late >= SILENT:
        return Health(False, f"A loop of the worker is {late.total_seconds():.0f} seconds late: it is stuck. Restart it.")
    return Health(True, "The worker is alive.")


def ready(site: Site) -> Health:
    """Say whether the worker can work: it is alive, reaches the warehouse, its schema fits, and the queue hears of a worker."""
    if not (health := alive(site)).well:
        return health
    try:
        with site.open() as database:
            schema.require_newest(database)
            heartbeat = figures.heartbeat_seconds(database)
    except WarehouseError as error:
        return Health(False, str(error))
    if heartbeat is None:
        return Health(False, "No worker has signed in to the queue yet. It does so in a moment, or its log says why not.")
    if heartbeat >= SILENT.total_seconds():
        return Health(
            False,
            f"No worker has shown a sign of life in the queue for {heartbeat:.0f} seconds. Look at its log, and restart it.",
        )
    return Health(True, "The worker works: the warehouse is reached, its schema fits, and the queue hears of a worker.")
