"""What happens to the provider while it is read, scene by scene, and what a sync has to make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from etl.provider import Order, Provider
from etl.runs.terms import Outcome, RunStatus
from etl.testing.faults import Fault
from etl.testing.payloads import Payloads, naming_call
from etl.testing.server import throttled
from etl.testing.stage import STEP, Cost, Stage
from etl.testing.world import NOW, World

ENOUGH = 60
"""More requests for pages than a sync of a scene needs, whatever the server does."""

_SHOWN = 6


def faults_in_sync(provider: Provider, payloads: Payloads) -> tuple[list[Fault], Cost | None]:
    """
    Sync with the first style scene by scene, with every other one once. Return what went wrong, and what the first style costs.

    Raises Raised.
    """
    found: list[Fault] = []
    costs: list[Cost] = []
    for style in provider.listing.styles:
        stage = Stage.of(provider, style, payloads)
        if isinstance(stage, Fault):
            found.append(stage)
            continue
        scenes = SCENES if style is provider.listing.styles[0] else dict(list(SCENES.items())[:1])
        for name, scene in scenes.items():
            faults = [fault._replace(seen=f"{name}: {fault.seen}") for fault in scene(stage, costs)]
            found += faults
            if faults:
                break  # what follows is more of the same
    return found, costs[0] if costs else None


def _plain(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """Everything is as it should be: all calls arrive, and a second sync changes nothing."""
    with stage.world(stage.spread()) as world:
        outcome = world.sync()
        asked = world.server.asked
        pages, details, parts = len(asked.pages), asked.details, asked.parts
        yield from _all_there(stage, world, outcome)
        if world.missing():
            return
        world.clock.instant += timedelta(minutes=15)
        again = world.sync()
        yield from _all_there(stage, world, again)
        if again.counters.updated or again.counters.inserted:
            yield Fault(
                "volatile",
                f"a second sync changed {again.counters.updated} calls, of which nothing had changed",
                "Name in `volatile` what differs between two readings, such as signed addresses and the state of today.",
            )
        cost = Cost(
            calls=len(world.server.calls),
            pages=pages,
            details=details,
            pages_again=len(asked.pages) - pages,
            details_again=asked.details - details,
            parts=parts,
            parts_again=asked.parts - parts,
        )
        costs.append(cost)


def _ties(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """More calls of one instant than a page holds."""
    if stage.by_instant:
        return  # that no API can do of which a page begins below an instant; the page says so
    at = NOW - timedelta(hours=3)
    instants = [at] * (stage.size + 3) + [at - STEP * number for number in range(1, stage.size)]
    with stage.world(instants) as world:
        yield from _all_there(stage, world, world.sync())


def _deletion(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """A call that was on the first page is deleted before the second is asked for, so that the others move up."""
    with stage.world(stage.spread()) as world:
        calls, newest_first = world.server.calls, stage.provider.listing.order is Order.NEWEST_FIRST
        first = min(range(len(calls)), key=lambda place: calls[place].at, default=0)
        first = max(range(len(calls)), key=lambda place: calls[place].at) if newest_first else first

        def delete(number: int) -> None:
            if number == 1:
                del calls[first]

        world.server.habits.before_page = delete
        # Without a total, and without tokens, nobody can see that a call moved to a page that was read already.
        shows = stage.facts.total is not None or stage.style.by_token
        yield from _told(stage, world, world.sync(), may_hide=not shows)


def _gone(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """A recent call is deleted between two syncs: the second one asks for it, is told that there is none, and buries it."""
    if stage.provider.detail is None or not any(naming_call(stage.provider, case) for case in stage.payloads.failures):
        return
    with stage.world(stage.spread()) as world:
        world.sync()
        gone = world.server.calls.pop(1)
        world.clock.instant += timedelta(minutes=15)
        outcome = world.sync()
        yield from _told(stage, world, outcome)
        if gone.call_id in world.held:
            yield Fault(
                "failure",
                "a call that was deleted at the provider is still held",
                'For the answer about an unknown call return Failure(naming="call"), with status=404 if it has another status.',
            )


def _echo(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """Whatever page is asked for, the first one comes."""
    with stage.world(stage.spread()) as world:
        world.server.habits.ignores_place = True
        yield from _told(stage, world, world.sync())


def _contradiction(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """The total says that there are three calls more than the list holds."""
    with stage.world(stage.spread()) as world:
        world.server.habits.total_off = 3
        outcome = world.sync()
        yield from _told(stage, world, outcome)
        if missing := world.missing():
            yield _unread(stage, world, outcome, len(missing))


def _ignored_filter(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """The list is served whole, whatever range is asked for."""
    if stage.wording.since is None:
        return
    with stage.world(stage.spread()) as world:
        world.server.habits.ignores_filter = True
        yield from _told(stage, world, world.sync())


def _throttled(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """The second request for a page is refused with 429."""
    with stage.world(stage.spread()) as world:
        server = world.server
        server.habits.refuse = lambda number: throttled(server.refusal(429)) if number == 1 else None
        yield from _as_if_nothing_was(
            stage, world, "a 429", "Return a Failure without another `status`, so that the program waits."
        )


def _broken(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """The second request for a page is answered with an error of the server."""
    with stage.world(stage.spread()) as world:
        server = world.server
        server.habits.refuse = lambda number: server.refusal(503) if number == 1 else None
        yield from _as_if_nothing_was(
            stage, world, "a 503", "Return a Failure without another `status`, so that the program tries again."
        )


def _locked_out(stage: Stage, costs: list[Cost]) -> Iterator[Fault]:
    """The credential is refused."""
    with stage.world(stage.spread()) as world:
        server = world.server
        server.habits.refuse = lambda number: server.refusal(401)
        outcome = world.sync()
        code = outcome.error.code if outcome.error is not None else None
        if code != "authentication" and not (stage.provider.agents is not None and outcome.status is RunStatus.FAILED):
            yield Fault(
                "failure",
                f"a 401 is taken for {code or 'no error'}",
                "Return a Failure without another `status` for what is a refused credential.",
            )
        if world.held:
            yield Fault("failure", "calls were stored out of a refusal", "Return a Failure for every status from 400 on.")


SCENES: Mapping[str, Callable[[Stage, list[Cost]], Iterator[Fault]]] = {
    "all calls on three pages": _plain,
    "many calls of one instant": _ties,
    "a deletion between two pages": _deletion,
    "a call that is gone": _gone,
    "an echo of the first page": _echo,
    "a total that contradicts the list": _contradiction,
    "a filter that is ignored": _ignored_filter,
    "too many requests": _throttled,
    "an error of the server": _broken,
    "a refused credential": _locked_out,
}


# ── What a sync has to make of it ─────────────────────────────────────────────────────────────────────────────────────


def _all_there(stage: Stage, world: World, outcome: Outcome) -> Iterator[Fault]:
    """All calls are held, none was rejected, and nothing is to be said."""
    yield from _told(stage, world, outcome)
    missing = world.missing()
    if not world.server.faults and (missing or outcome.status is not RunStatus.SUCCEEDED):
        yield _unread(stage, world, outcome, len(missing))


def _as_if_nothing_was(stage: Stage, world: World, what: str, change: str) -> Iterator[Fault]:
    outcome = world.sync()
    yield from _told(stage, world, outcome)
    if world.missing() or outcome.status is not RunStatus.SUCCEEDED:
        yield Fault("failure", f"after {what} {len(world.missing())} calls are missing ({_ended(outcome)})", change)


def _told(stage: Stage, world: World, outcome: Outcome, *, may_hide: bool = False) -> Iterator[Fault]:
    """
    Nothing is claimed to be read that is not held, the run has an end, and no function of the form failed.

    `may_hide` where the API gives nobody a way to notice what was missed.
    """
    server = world.server
    yield from server.faults
    if server.asked.strays:
        yield Fault(
            "listing.path",
            f"it asked for {server.asked.strays[0]}, where nothing is",
            "Look at the paths of the listing, the detail and the agents.",
        )
    if outcome.counters.rejected:
        yield Fault(
            "call_id, cursor", f"{outcome.counters.rejected} records could not become a call", "Look at how both are read."
        )
    if (lost := world.lost()) and not server.faults and not may_hide:
        yield _unread(stage, world, outcome, len(lost))
    if len(server.asked.pages) > ENOUGH:
        yield Fault(
            f"listing.styles[{stage.style.name}]",
            f"the list was asked for {len(server.asked.pages)} times without an end: {_asked(world)}",
            "Let `facts` say where the list ends: more=False, or after=None.",
        )


def _unread(stage: Stage, world: World, outcome: Outcome, number: int) -> Fault:
    findings = ", ".join(finding.code for finding in outcome.findings)
    noted = f", noting {findings}" if findings else ""
    return Fault(
        f"listing.styles[{stage.style.name}], listing.facts",
        f"{number} of {len(world.server.calls)} calls did not arrive ({_ended(outcome)}{noted}). It asked for {_asked(world)}",
        "Look at what should tell the pages apart in these requests, and at what `facts` says where another one follows.",
    )


def _ended(outcome: Outcome) -> str:
    return f"the run {outcome.status.value}" + (f": {outcome.error.happened}" if outcome.error is not None else "")


def _asked(world: World) -> str:
    pages = world.server.asked.pages
    return "; ".join(pages[:_SHOWN]) + ("; …" if len(pages) > _SHOWN else "")
