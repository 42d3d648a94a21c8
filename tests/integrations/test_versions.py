"""The versions that are promised: a smaller set of the tests on other Pythons and on other versions of PostgreSQL."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integrations.conftest import Ages
from tests.integrations.environments import Environment
from tests.integrations.machine import system_postgres, wheel_postgres

# Late calls, how a sync is resumed, and the program as a process; each in some seconds.
STORIES = (
    "tests/acceptance/test_late_calls.py",
    "tests/acceptance/test_process_commands.py",
    "tests/acceptance/test_resume.py",
)

# Of what needs Postgres, that in which Python has a part: the launcher, the driver, the binary form of rows.
DATABASE = (
    "tests/embedded/test_everyday.py",
    "tests/warehouse/loading",
    "tests/warehouse/test_database.py",
    "tests/warehouse/test_locks.py",
)

POSTGRES: dict[str, Callable[[], Path]] = {
    "18": lambda: wheel_postgres(18),
    "16": lambda: wheel_postgres(16),
    "the system's": system_postgres,
}


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_on_another_python(environment_of: Ages, age: str) -> None:
    """On the oldest and on the newest supported Python of this machine, with the locked packages."""
    environment_of(age).test("tests/unit", "tests/providers", *DATABASE, *STORIES, variables={})


@pytest.mark.parametrize("version", POSTGRES)
def test_on_another_postgres(version: str) -> None:
    """On every version that can be had without another package index; the embedded server's own tests choose theirs."""
    programs = POSTGRES[version]()
    here = Environment(Path(sys.prefix))
    variables = {"ETL_TEST_POSTGRES": os.fspath(programs)}
    here.test(
        "tests/warehouse",
        "tests/acceptance/test_docs_queries.py",
        "tests/acceptance/test_bad_input_database.py",
        *STORIES,
        variables=variables,
    )
