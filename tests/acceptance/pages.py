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
from etl.system import SystemThreads
from etl.warehouse.audits import AuditedWarehouse
from etl.warehouse.database import Database
from etl.wiring import account
from etl.worker.web.server import served
from etl.worker.web.site import Next, Site
from tests.acceptance.cast import NAMES
from tests.acceptance.stage import Stage

Family = dict[tuple[str, ...], float]
"""Values by the labels' values, in the order of the labels' names; of a histogram, by the kind of sample first."""


class Heart:
    """A worker's heart that is as late as a test wants."""

    def __init__(self) -> None:
        self.late = timedelta()

    def silence(self) -> timedelta:
        """Return how late the worker's loops are."""
        return self.late


class Pages:
    """The pages at an address."""

    def __init__(self, site: Site, heart: Heart, address: str, client: httpx.Client) -> None:
        self.site = site
        self.heart = heart
        self.address = address
        self._client = client

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return self._client.get(path, headers=headers)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take the warehouse away for a block."""
        database, self.site._database = self.site._database, None
        yield
        self.site._database = database

    def families(self) -> dict[str, Family]:
        """Return what a Prometheus reads: every family."""
        answer = self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return parsed(answer.text)


def parsed(text: str) -> dict[str, Family]:
    """Return the families of an answer, as a Prometheus reads them."""
    return {family.name: samples(family) for family in text_string_to_metric_families(text)}


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
    heart = Heart()
    site = Site(settings=settings, clock=clock, silence=heart.silence, next_due=lambda _, names: dict(due or {}))
    with served(site, ("127.0.0.1", 0), threads=SystemThreads()) as address, site.over(database):
        assert address is not None
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
            yield Pages(site, heart, address, client)
