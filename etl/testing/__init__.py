"""
Proves a provider, without an account and without our checkout: its form, its payloads, and real syncs from a server made of both.

    from etl.testing import check

    def test_the_provider_is_proven() -> None:
        check(PROVIDER, json.loads(Path("payloads.json").read_text()))

`docs/adding-a-provider.md` says what the payloads hold, and what is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from etl.model import JSON
from etl.provider import Provider
from etl.testing.answering import faults_in_pages
from etl.testing.asking import faults_in_asks
from etl.testing.failing import faults_in_agents, faults_in_failures
from etl.testing.faults import Fault, Raised, Unproven
from etl.testing.form import faults_in_form
from etl.testing.order import faults_in_order
from etl.testing.parts import faults_in_parts
from etl.testing.payloads import Payloads, missing
from etl.testing.records import faults_in_records
from etl.testing.scenes import faults_in_sync
from etl.testing.stage import Cost

__all__ = ["check", "Cost", "Fault", "Unproven"]


def check(provider: Provider, payloads: Mapping[str, JSON]) -> Cost:
    """
    Prove a provider, and return what it costs in requests.

    First the form is looked at by itself, then whether it reads the payloads as they are meant. Only if both are as they should
    be, real syncs run: over loopback, from a small server that is made of the form and the payloads, and has its moods.

    Raises Unproven, an AssertionError, which says what to change.
    """
    given = Payloads.of(payloads)
    for look in (_form(provider), _at_rest(provider, payloads, given)):
        if faults := _gathered(look):
            raise Unproven(provider.name, faults)
    try:
        found, cost = faults_in_sync(provider, given)
    except Raised as raised:
        found, cost = [raised.fault], None
    if found or cost is None:
        raise Unproven(provider.name, _distinct(found))
    return cost


def _form(provider: Provider) -> Iterator[Iterator[Fault]]:
    yield faults_in_form(provider)


def _at_rest(provider: Provider, payloads: Mapping[str, JSON], given: Payloads) -> Iterator[Iterator[Fault]]:
    yield iter(missing(provider, payloads, given))
    yield faults_in_asks(provider, given)
    yield faults_in_pages(provider, given)
    yield faults_in_records(provider, given)
    yield faults_in_parts(provider, given)
    yield faults_in_order(provider, given)
    yield faults_in_failures(provider, given)
    yield faults_in_agents(provider, given)


def _gathered(parts: Iterator[Iterator[Fault]]) -> tuple[Fault, ...]:
    """Return all that was found; a part in which a function of the form raises an error ends with that."""
    found: list[Fault] = []
    for part in parts:
        try:
            found += part
        except Raised as raised:
            found.append(raised.fault)
    return _distinct(found)


def _distinct(found: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return one fault for everything that is to be changed, however often it was seen."""
    first: dict[tuple[str, str], Fault] = {}
    for fault in found:
        first.setdefault((fault.place, fault.change), fault)
    return tuple(first.values())
