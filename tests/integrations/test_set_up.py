"""The set-up: both lock files install with the oldest and the newest pip, whatever has been released since they were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integrations.conftest import Ages
from tests.integrations.environments import ROOT, pinned, with_pip
from tests.integrations.machine import Python

WHOLE = "No broken requirements found.\n"


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_make_sets_the_checkout_up(environment_of: Ages, age: str) -> None:
    """The Makefile's own steps, in an empty environment: what they install is whole, and the program starts."""
    environment = environment_of(age)

    assert environment.pip("check") == WHOLE
    assert environment.pip("show", "call-warehouse").startswith("Name: call-warehouse\n")


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_what_a_container_needs_installs(tmp_path: Path, python_of: Callable[[str], Python], newer: Path, age: str) -> None:
    """The Dockerfile's steps, in an empty environment: what they install is whole, and of the versions that are pinned."""
    lock = ROOT / "requirements-runtime.lock"
    environment = with_pip(tmp_path / "environment", python_of(age).path, age)
    environment.pip("install", "--quiet", "--require-hashes", "--no-deps", "-r", str(lock), newer=newer)
    installed = pinned(environment.pip("freeze"))

    assert environment.pip("check") == WHOLE
    assert "sqlalchemy" in installed
    assert installed.items() <= pinned(lock.read_text(encoding="utf-8")).items()


def test_the_newer_releases_would_be_taken(tmp_path: Path, python_of: Callable[[str], Python], newer: Path) -> None:
    """What the other tests promise is worth nothing unless pip, if it may choose, takes them."""
    environment = with_pip(tmp_path / "environment", python_of("oldest").path, "oldest")
    environment.pip("install", "--quiet", "coverage", newer=newer)

    assert pinned(environment.pip("freeze")) == {"coverage": "9999.0"}
