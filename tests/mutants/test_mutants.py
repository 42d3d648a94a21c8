"""Every mutant still applies: code that moves on must take its mutants along, else nothing tries the tests there any more."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.every import MUTANTS
from tests.mutants.mutant import DoesNotApply, Mutant
from tests.mutants.trying import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_exactly_once_and_names_tests_that_exist(mutant: Mutant) -> None:
    """And what it makes of its file is still a program."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    changed = mutant.put_into(text)

    assert changed != text
    ast.parse(changed)
    assert [test for test in mutant.tests if not _exists(test)] == []


def _exists(test: str) -> bool:
    file, _, function = test.partition("::")
    return Path(ROOT, file).exists() and (not function or f"def {function}(" in Path(ROOT, file).read_text(encoding="utf-8"))


def test_mutants_are_told_apart_by_their_names() -> None:
    """The table names them."""
    names = [mutant.name for mutant in MUTANTS]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("text", ["nothing of it", "old and old"])
def test_a_text_that_does_not_stand_there_exactly_once_is_refused(text: str) -> None:
    """Else a fault might be put somewhere else, or nowhere."""
    mutant = Mutant(name="one", file="etl/model.py", old="old", new="new")

    with pytest.raises(DoesNotApply):
        mutant.put_into(text)
