"""Providers are found by name; others bring their own by an entry point, without a line of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from etl import providers
from etl.errors import UsageError

FIFTH = """
from dataclasses import replace
from etl.providers.tuple import PROVIDER as LIKE
PROVIDER = replace(LIKE, name="fifth", title="Fifth", base_url="https://api.example.com")
"""

OTHERS = providers.names()[len(providers.OURS) :]
"""Those that distributions bring which happen to be installed here."""

ASK = """
import json, sys
from etl import providers
from etl.errors import UsageError
try:
    found = providers.get(sys.argv[1])
    print(json.dumps([list(providers.names()), found.name, found.title]))
except UsageError as error:
    print(json.dumps([error.happened, error.hint]))
"""


def ask(tmp_path: Path, name: str, entry_points: str) -> list[object]:
    """Install a made-up distribution with these entry points and ask a fresh interpreter for a provider."""
    (tmp_path / "fifth_provider.py").write_text(FIFTH)
    installed = tmp_path / "fifth_provider-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fifth-provider\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[etl.providers]\n{entry_points}\n")
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{root!r}, {str(tmp_path)!r}]\n{ASK}", name],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_ours_by_name() -> None:
    """Ours are there, the first four first, before those of others, and each has the name it is asked by."""
    assert providers.names()[: len(providers.OURS)] == providers.OURS
    assert providers.OURS[:4] == ("tuple", "bimpe", "salpre", "krosai")
    assert [providers.get(name).name for name in providers.OURS] == list(providers.OURS)


def test_unknown_name_is_answered_with_the_nearest() -> None:
    """A typo is a usage error that names what was probably meant."""
    with pytest.raises(UsageError, match="no provider 'krosia'") as error:
        providers.get("krosia")
    assert error.value.hint == "Did you mean 'krosai'?"


def test_far_name_is_answered_with_all() -> None:
    """A name that resembles nothing is answered with the list."""
    with pytest.raises(UsageError) as error:
        providers.get("zzz")
    assert error.value.hint == f"The providers are: {', '.join(providers.names())}."


def test_a_fifth_provider_registers_itself(tmp_path: Path) -> None:
    """An installed distribution adds a provider by an entry point; it cannot take the place of one of ours."""
    answer = ask(tmp_path, "fifth", "fifth = fifth_provider:PROVIDER\ntuple = fifth_provider:PROVIDER")
    assert answer == [[*providers.OURS, *sorted(["fifth", *OTHERS])], "fifth", "Fifth"]


def test_ours_cannot_be_replaced(tmp_path: Path) -> None:
    """An entry point with the name of one of ours is left alone."""
    answer = ask(tmp_path, "tuple", "tuple = fifth_provider:PROVIDER")
    assert answer == [[*providers.OURS, *OTHERS], "tuple", "Tuple"]


@pytest.mark.parametrize(
    ("name", "point", "happened"),
    [
        (
            "sixth",
            "sixth = fifth_provider:PROVIDER",
            "The entry point 'sixth' of the distribution 'fifth-provider' is no provider of that name.",
        ),
        (
            "fifth",
            "fifth = fifth_provider:FIFTH",
            (
                "The provider 'fifth' of the distribution 'fifth-provider' cannot be loaded: AttributeError: "
                "module 'fifth_provider' has no attribute 'FIFTH'."
            ),
        ),
        (
            "fifth",
            "fifth = fifth_provider",
            "The entry point 'fifth' of the distribution 'fifth-provider' is no provider of that name.",
        ),
    ],
)
def test_broken_registrations_are_said(tmp_path: Path, name: str, point: str, happened: str) -> None:
    """A registration that leads nowhere is a usage error that names the distribution."""
    assert ask(tmp_path, name, point)[0] == happened


def test_providers_are_loaded_when_asked_for() -> None:
    """Knowing the names costs the import of no provider: the program starts fast."""
    code = "import sys; from etl import providers; providers.names(); print([m for m in sys.modules if 'etl.providers.' in m])"
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "known"), [("krosai", True), ("kros", False), (["krosai"], False), (None, False)])
def test_whether_a_name_is_known(name: object, *, known: bool) -> None:
    """Whatever stands in a configuration may be asked for."""
    assert providers.is_known(name) is known
