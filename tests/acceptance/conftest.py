"""Knows what the acceptance tests share: how a stage is set and taken down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl.sandbox import History
from etl.warehouse.database import Database
from tests.acceptance.stage import Stage, opened, quiet_history

SetStage = Callable[[History], Stage]


@pytest.fixture
def set_stage(database: Database, database_url: str, tmp_path: Path) -> Iterator[SetStage]:
    """Give what sets a stage before a history, over an empty warehouse of this test's own."""
    stages: list[Stage] = []

    def set_one(history: History) -> Stage:
        stages.append(opened(history, database=database, url=database_url, folder=tmp_path))
        return stages[-1]

    yield set_one
    for stage in stages:
        stage.sandbox.stop()


@pytest.fixture
def stage(set_stage: SetStage) -> Stage:
    """Give a stage on which nothing happens but what the test does; BimpeAI has one agent."""
    return set_stage(quiet_history())
