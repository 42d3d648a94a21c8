"""The kit proves every provider of this repository, and finds what only a sync can show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from etl import providers
from etl.model import JSON
from etl.provider import Failure, PageFacts
from etl.testing import Unproven, check
from etl.testing.scenes import SCENES
from tests.providers.documented import acme, acme_payloads

OURS = Path(__file__).parents[2] / "providers" / "payloads"
ACME, PAYLOADS = acme(), acme_payloads()


@pytest.mark.parametrize("name", providers.OURS)
def test_ours_are_proven(name: str) -> None:
    """With the payloads that the conformance suite has; what that costs in requests is told."""
    cost = check(providers.get(name), json.loads((OURS / f"{name}.json").read_text("utf-8")))

    assert cost.calls == 11 and cost.pages >= 3 and cost.pages_again >= 1
    assert str(cost).startswith("11 calls: ")


def failing_scene(failure: Failure, *, status: int, code: str) -> Unproven:
    """Return what is found if an error of this code, which the payloads show, is understood as something else."""
    body = {"error": {"code": code, "message": "made up"}}

    def odd(given: int, said: JSON) -> Failure | None:
        return failure if said == body else ACME.failure(given, said)

    failures = [{"status": status, "body": body}, *PAYLOADS["failures"]]
    with pytest.raises(Unproven) as found:
        check(replace(ACME, failure=odd), {**PAYLOADS, "failures": failures})
    return found.value


@pytest.mark.parametrize(
    ("status", "scene"), [(429, "too many requests"), (503, "an error of the server"), (401, "a refused credential")]
)
def test_an_error_that_is_taken_for_another_is_found_by_a_sync(status: int, scene: str) -> None:
    """Calls are missing after it, or the run ended otherwise; the scene is named, and the function."""
    unproven = failing_scene(Failure(status=400), status=status, code="odd")

    assert [(fault.place, fault.seen.partition(":")[0]) for fault in unproven.faults] == [("failure", scene)]


def test_what_looks_changed_at_each_reading_is_found_by_a_sync() -> None:
    """A server that signs addresses anew would have every call written again: without payloads that show it, a sync does."""
    signed = "https://example.com/a1.mp3?X-Amz-Signature=abc"
    record = {**PAYLOADS["calls"][0]["record"], "recording": signed}
    with pytest.raises(Unproven) as found:
        check(replace(ACME, ignored=ACME.ignored | {"recording"}), {**PAYLOADS, "calls": [{"record": record}]})

    assert [(fault.place, "recording" in fault.seen) for fault in found.value.faults] == [("volatile", True)]


def test_a_credential_in_a_record_is_found() -> None:
    """It must not be stored, so the form has to name it; then it is cut out before anything looks at the record."""
    record = {**PAYLOADS["calls"][0]["record"], "access_token": "made up"}
    payloads = {**PAYLOADS, "calls": [{"record": record}]}
    with pytest.raises(Unproven) as found:
        check(replace(ACME, ignored=ACME.ignored | {"access_token"}), payloads)

    assert [fault.place for fault in found.value.faults] == ["never_stored"]
    assert check(replace(ACME, never_stored=frozenset({"access_token"})), payloads).calls == 11


def test_what_is_not_given_is_asked_for() -> None:
    """Each kind of payload that is missing is named, and so is one that nobody knows."""
    with pytest.raises(Unproven) as found:
        check(ACME, {"asked": [], "pages": [{"body": {}}]})

    places = ["payloads.asked", "payloads.asks", "payloads.pages[0]", "payloads.calls", "payloads.failures"]
    assert [fault.place for fault in found.value.faults] == places


def test_pages_that_cannot_be_told_from_the_last_are_found() -> None:
    """Where another one always follows, the list has no end: the kit knows no page that would say so."""
    listing = replace(ACME.listing, facts=lambda fields, headers: PageFacts(more=True))
    page = {**PAYLOADS["pages"][0], "facts": {"more": True}}
    with pytest.raises(Unproven) as found:
        check(replace(ACME, listing=listing), {**PAYLOADS, "pages": [page]})

    assert [(fault.place, "the last one" in fault.seen) for fault in found.value.faults] == [("listing.facts", True)]


def test_every_scene_says_what_happens() -> None:
    """Its docstring is what `docs/adding-a-provider.md` lists."""
    assert [name for name, scene in SCENES.items() if not scene.__doc__] == []
