"""Knows what the acceptance tests share: how a stage is set and taken down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from etl.sandbox import History
from etl.warehouse.database import Database
from tests.acceptance.process import Hook
from tests.acceptance.relay import Alter, Relay
from tests.acceptance.stage import Stage, opened, quiet_history

SetStage = Callable[[History], Stage]
Stand = Callable[[str, Alter], Relay]


@pytest.fixture
def hook() -> Hook:
    """Give what the sandbox does with a request."""
    return Hook()


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


@pytest.fixture
def between(stage: Stage) -> Iterator[Stand]:
    """Give what puts a relay between the program and a provider."""
    with ExitStack() as stack:

        def put(provider: str, alter: Alter) -> Relay:
            relay = stack.enter_context(Relay(stage.sandbox.url(provider), alter))
            stage.settings.setdefault(provider, {})["base_url"] = relay.url
            return relay

        yield put
