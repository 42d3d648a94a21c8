"""Knows a worker's pages as whoever asks for them meets them: served over HTTP, over a warehouse, without the worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from etl.audit.lifecycle import audit_connection
from etl.config import Settings
from etl.effects import Clock
from etl.errors import WarehouseError
from etl.system import SystemThreads
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.wiring import account
from etl.worker.web.server import served
from etl.worker.web.site import Next, Site
from tests.acceptance.stage import NAMES, Stage

Family = dict[tuple[str, ...], float]
"""Values by the labels' values, in the order of the labels' names; of a histogram, by the kind of sample first."""


class Surroundings:
    """What a test has in its hand: whether the warehouse is there, and how late the worker's loops are."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.is_away = False
        self.late = timedelta()

    @contextmanager
    def open(self) -> Iterator[Database]:
        """Give the warehouse while it is there."""
        if self.is_away:
            raise WarehouseError("It is away.", safe="What is committed stays.", hint="Wait for it.")
        yield self.database

    def overdue(self) -> timedelta:
        """Return how late the loops are."""
        return self.late


class Pages:
    """The pages at an address."""

    def __init__(self, site: Site, around: Surroundings, address: str, client: httpx.Client) -> None:
        self.site = site
        self.around = around
        self.address = address
        self._client = client

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return self._client.get(path, headers=headers)

    def families(self) -> dict[str, Family]:
        """Return what a Prometheus reads: every family."""
        answer = self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return {family.name: samples(family) for family in text_string_to_metric_families(answer.text)}


def samples(family: Any) -> Family:
    """Return the samples of a family."""
    found = {}
    for sample in family.samples:
        part = sample.name.removeprefix(family.name).removeprefix("_total")
        labels = tuple(value for _, value in sorted(sample.labels.items()))
        found[(part, *labels) if part else labels] = sample.value
    return found


def audit(stage: Stage, *providers: str) -> None:
    """Audit the connections at these providers, by the stage's clock."""
    settings = stage.configured()
    chosen = settings.choose(tuple(NAMES[provider] for provider in providers))
    with stage.surroundings(AuditedWarehouse) as given:
        for name, one in chosen.items():
            audit_connection(account(name, one), connect=stage.connect(settings, chosen, given), given=given)


@contextmanager
def pages_over(database: Database, settings: Settings, *, clock: Clock, due: Mapping[str, Next] | None = None) -> Iterator[Pages]:
    """Serve the pages over a warehouse."""
    around = Surroundings(database)
    site = Site(
        settings=settings, clock=clock, overdue=around.overdue, open=around.open, next_due=lambda _, names: dict(due or {})
    )
    with served(site, ("127.0.0.1", 0), threads=SystemThreads()) as address:
        assert address is not None
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            yield Pages(site, around, address, client)
