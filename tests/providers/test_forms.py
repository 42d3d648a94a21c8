"""Forms of APIs that are no providers of this repository: that the form can say them is proven by the kit."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from etl.testing import check

FORMS = Path(__file__).parent / "forms"


@pytest.mark.parametrize("name", sorted(path.stem for path in FORMS.glob("*.json")))
def test_a_form_is_proven(name: str) -> None:
    """With payloads that are made up as the sources named in it say."""
    provider = import_module(f"tests.providers.forms.{name}").PROVIDER

    assert check(provider, json.loads((FORMS / f"{name}.json").read_text("utf-8"))).calls == 11
