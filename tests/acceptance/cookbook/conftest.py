"""Knows the warehouse that the cookbook is asked: one for all questions, since they only read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from etl.warehouse.database import Database
from tests.acceptance.cookbook.world import Company, founded
from tests.postgres import warehouse_at


@pytest.fixture(scope="session")
def company(server_url: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Give the company and its warehouse, as they are when the questions are asked."""
    with warehouse_at(server_url, migrated_template, "cookbook") as url, Database(url) as database:
        founding = founded(database, url, tmp_path_factory.mktemp("cookbook"))
        yield founding
        founding.stage.sandbox.stop()
