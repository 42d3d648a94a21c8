"""The kit proves every provider of this repository, and finds what only a sync can show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from etl import providers
from etl.model import JSON
from etl.provider import Ask, ClientCredentials, Failure, PageFacts, Setting, Style, Window
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


def test_a_form_that_fetches_tokens_is_proven_without_its_address() -> None:
    """Whatever that is, the kit's own server hands them out: nothing leaves the machine."""
    login = ClientCredentials(
        user=("client_id",), address="https://auth.example.com/oauth/token", form={"account_id": "{account_id}"}
    )
    own = (Setting(name="client_id"), Setting(name="account_id", secret=False))
    links = {**ACME.links, "client_id": "Acme console", "account_id": "Acme console"}

    assert check(replace(ACME, headers=(), login=login, own=own, links=links), PAYLOADS).calls == 11


@pytest.mark.parametrize(
    "window", [Window(grain=timedelta(days=1), until_included=None), Window(until_included=True, most=8)], ids=["days", "eight"]
)
def test_a_form_with_a_window_is_proven(window: Window) -> None:
    """The server filters as the form asks, or not at all, and all calls arrive."""
    styles = tuple(replace(style, params=with_bounds(style)) for style in ACME.listing.styles)
    listing = replace(ACME.listing, styles=styles, window=window)

    assert check(replace(ACME, listing=listing), PAYLOADS).calls == 11


def with_bounds(style: Style) -> Callable[[Ask], Mapping[str, str]]:
    """Return the parameters of a style, and the bounds of a window."""

    def params(ask: Ask) -> Mapping[str, str]:
        bounds = {"from": ask.since, "to": ask.until}
        return {**style.params(ask), **{name: at.isoformat() for name, at in bounds.items() if at is not None}}

    return params


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
