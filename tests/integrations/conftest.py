"""Knows the environments that several integrations share; each is made once, when the first of them asks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.process import Hook, Program
from tests.integrations.environments import Environment, for_development, newer_releases
from tests.integrations.machine import Python, missing, pythons
from tests.integrations.orchestrators.stage import made_up

Ages = Callable[[str], Environment]


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with newer releases of all that is pinned."""
    return newer_releases(tmp_path_factory.mktemp("releases") / "newer")


@pytest.fixture(scope="session")
def python_of() -> Callable[[str], Python]:
    """Give what finds the `oldest` or the `newest` Python of this machine."""
    found = pythons()

    def one(age: str) -> Python:
        if not found or found[0].version[:2] == found[-1].version[:2]:
            missing("there are not two supported versions of Python that can make environments")
        return found[0 if age == "oldest" else -1]

    return one


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """Give a folder that every account can enter: root's tests run servers under another one."""
    with tempfile.TemporaryDirectory(prefix="etl-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def environment_of(open_folder: Path, python_of: Callable[[str], Python], newer: Path) -> Ages:
    """Give what makes the environment of the `oldest` Python and pip, or of the `newest`."""
    made: dict[str, Environment] = {}

    def one(age: str) -> Environment:
        if age not in made:
            made[age] = for_development(open_folder / age, python_of(age).path, age, newer=newer)
        return made[age]

    return one


@pytest.fixture
def hook() -> Hook:
    """Give what the sandbox does with a request."""
    return Hook()


@pytest.fixture
def program(empty_database_url: str, tmp_path: Path, hook: Hook) -> Iterator[Program]:
    """Give a configuration for four providers with 12 calls each, and a database with nothing in it."""
    with made_up(empty_database_url, tmp_path, hook) as program:
        yield program
