"""Plays a story: the real program on a simulated machine, and after every step whether what must hold does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from random import Random
from threading import Event
from typing import Any

from etl import providers
from etl.audit.lifecycle import audit_connection, repair_connection
from etl.audit.port import AuditOutcome
from etl.errors import AnchorNotMet, ConnectionFailed, EtlError
from etl.runs.account import Account
from etl.runs.forgetting import forget_connection
from etl.runs.lifecycle import Surroundings
from etl.runs.replay import replay_connection
from etl.runs.sync import sync_connection
from etl.runs.terms import Outcome, RunStatus, Trigger, Want
from etl.runs.watching import Silence
from etl.warehouse.database import Database
from tests.acceptance.cast import NAMES
from tests.inline import NoThreads
from tests.simulation.broken import Broken
from tests.simulation.erasure import Erasure, Wish, check_wished, wish
from tests.simulation.invariants import Before, check, check_verdicts, truth
from tests.simulation.on_postgres import OnPostgres
from tests.simulation.pulse import Killed, Pulse
from tests.simulation.story import LIES, LOOKBACK, Step, Story
from tests.simulation.underneath import InMemory, Underneath
from tests.simulation.world import START, Clock, Connection, World

ANCHORS = 5
ANOTHERS = {"repair": "audit", "tidy": "forget"}
"""What is done with the warehouse of another kind of process."""

PATIENCE = 4
"""How many syncs a calm time may take: a killed process's allowance, a detail to be asked for again."""


@dataclass
class Play:
    """One story in progress."""

    story: Story
    world: World = field(init=False)
    database: Database | None = None  # an empty warehouse; None: the one in memory
    under: Underneath = field(init=False)
    account: Account = field(init=False)
    listed: set[str] = field(default_factory=set)  # the calls that ever lived
    processes: int = 0
    taken_over: int = 0
    effects: int = 0
    requests: int = 0
    excused: set[str] = field(default_factory=set)  # calls that a documented limit may have hidden, until they are held
    lost: bool = False  # whether calls were deleted past the program, and no repair has succeeded since
    torn: set[str] = field(default_factory=set)  # the calls whose history lacks what was deleted past the program
    erasure: Erasure = field(default_factory=Erasure)
    lie: str = ""  # what lists say now that is not so
    misled: bool = False  # whether lists have lied since the last calm sync
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = self.story.world()
        provider = providers.get(self.story.provider)
        name = NAMES[provider.name]
        own = self.world.apis.own.get(provider.name, {})
        self.account = Account(connection=name, provider=provider, lookback=LOOKBACK, per_page=self.story.per_page, own=own)
        self.under = InMemory(name) if self.database is None else OnPostgres(self.database, name)
        self._see()

    def play(self) -> None:
        """Play all steps. Raises Broken."""
        try:
            for step in self.story.steps:
                self._step(step)
            if self.database is not None:
                self._look_back()
        finally:
            self.under.close()

    def _look_back(self) -> None:
        """At the end, in calm times: a replay has nothing to write, and what an audit says is complete is."""
        replayed = self._run(Pulse(), Want(), kind="replay")
        if replayed is None or replayed.error is not None or replayed.counters.updated:
            raise Broken("a replay writes what no provider has changed", _words(replayed))
        audited = self._run(Pulse(), Want(), kind="audit")
        if isinstance(audited, AuditOutcome):
            check_verdicts(self, audited.verdicts)

    def _step(self, step: Step) -> None:
        if step.kind == "pass":
            self._pass(timedelta(minutes=step.minutes))
        elif step.kind == "set":
            self._set(step)
        elif step.kind == "calm":
            self._calm()
        else:
            self._disturbed(step)

    def _pass(self, time: timedelta) -> None:
        self.world.history.advance(time)
        self._see()

    def _set(self, step: Step) -> None:
        if step.per_page is not None:
            self.account = replace(self.account, per_page=step.per_page)
        if step.start is not None:
            self.account = replace(self.account, start_date=START - timedelta(hours=step.start))
        if step.lookback is not None:
            self.account = replace(self.account, lookback=timedelta(hours=step.lookback))
        if step.agents is not None and self.account.provider.agents is not None:
            listed = sorted(agent["id"] for agent in self.world.history.agents())
            self.account = replace(self.account, agents=tuple(listed[: step.agents]) or None)

    def _calm(self) -> None:
        self.world.apis.faults.mix(0)
        if self.lost:
            self._calmly("repair")
            self.lost = False
        if not self.erasure.is_done:
            if self.erasure.unregistered:  # said once more by whoever saw that it was not done; the worker does the rest
                self._calmly("forget")
            self._calmly("tidy")
            check_wished(self)
        for _ in range(PATIENCE):
            now = self.world.history.now + min(self.world.off, timedelta()) - timedelta(seconds=1)
            found = {call_id: row for call_id, row in truth(self).items() if row["cursor_at"] < now}
            outcome = self._run(Pulse(), Want())
            assert outcome is not None
            if outcome.status is RunStatus.SUCCEEDED:
                misled, self.misled = self.misled and bool(outcome.findings), False
                if misled:  # what an earlier sync had found out is seen to be wrong, and is told: the next one begins anew
                    continue
                check(self, whole=found)
                return
            if isinstance(outcome.error, AnchorNotMet) and ".agents" in outcome.error.hint:  # all were replaced: as advised
                self.account = replace(self.account, agents=tuple(sorted(one["id"] for one in self.world.history.agents())))
            elif isinstance(outcome.error, AnchorNotMet) and not self._shows_an_anchor():
                self._as_advised()
            elif isinstance(outcome.error, ConnectionFailed) and self.account.agents is not None:  # one is gone: as advised
                self.account = replace(self.account, agents=None)
            else:
                self._pass(timedelta(minutes=11))
        raise Broken("a sync in calm times does not succeed", _words(outcome))

    def _calmly(self, kind: str) -> None:
        """Do what no sync does, until it succeeds: repair what was deleted past the program, cut what is erased."""
        for _ in range(PATIENCE):
            outcome = self._run(Pulse(), Want(), kind=kind)
            if outcome is not None and outcome.error is None:
                return
            self._pass(timedelta(minutes=11))
        raise Broken(f"a {kind} in calm times does not succeed", _words(outcome))

    def _shows_an_anchor(self) -> bool:
        """Whether the provider lists one of the newest calls held, by which the program knows the account again."""
        living = {call.id for call in self.world.history.living(self.story.provider)}
        newest: dict[str, list[str]] = {}
        for row in sorted(self.under.calls(), key=lambda row: row["cursor_at"], reverse=True):
            newest.setdefault(row["stream"], []).append(row["call_id"])
        return all(living.intersection(ids[:ANCHORS]) for ids in newest.values())

    def _as_advised(self) -> None:
        """Do what the error says for calls that were really deleted: it helps once a call is listed again."""
        history, provider = self.world.history, self.story.provider
        for agent in [one["id"] for one in history.agents()] if provider == "bimpe" else [None]:
            if not history.living(provider, agent):
                history.add(provider, at=history.now, agent=agent)
        self._pass(timedelta(minutes=1))  # a list that is asked for up to the last full second shows it then
        usual, self.account = self.account, replace(self.account, max_delete_share=1)
        outcomes = [
            self._run(Pulse(), Want(full=True)) for _ in range(2)
        ]  # an agent's calls may be proven by another's, once held
        if not any(outcome is not None and outcome.status is RunStatus.SUCCEEDED for outcome in outcomes):
            raise Broken("what an error advises does not help", _words(outcomes[-1]))
        self.account = usual

    def _disturbed(self, step: Step) -> None:
        """Let a process do what the step says, and disturb it."""
        faults = self.world.apis.faults
        faults.mix(step.rate)
        kind, options = LIES[step.lie] if step.lie is not None else ("", {})
        self.world.way = kind if kind in ("cached", "again") else ""
        self.misled, self.lie = self.misled or bool(kind), kind
        if kind and not self.world.way:
            faults.add(kind, **options)
        pulse, stop = Pulse(kill_at=step.kill_at), Event()
        for effect, what, which in step.meddling:
            pulse.meanwhile[effect] = lambda what=what, which=which: self._meddle(what, which)
        if step.stop_at is not None:
            pulse.meanwhile[step.stop_at] = stop.set
        others = pulse.meanwhile if self.database is None else pulse.between
        if step.rival_at is not None:
            others[step.rival_at] = self._rival
        if step.forget_at is not None:
            others[step.forget_at] = partial(self._ask, step.who)
        if step.takeover_at is not None:
            others[step.takeover_at] = self._takeover
        self._lose(step.lost)
        if step.kind == "forget":
            self._wish(step.who)
        self._run(pulse, self._wanted(step.want), kind=step.kind, stop=stop)
        faults.clear()
        self.world.way = self.lie = ""

    def _wanted(self, want: str) -> Want:
        if want == "range":
            now = self.world.history.now
            return Want(since=now - timedelta(hours=9), until=now - timedelta(hours=4))
        return Want(full=want == "full")

    def _rival(self) -> None:
        """Another process tries to sync the same connection."""
        self._run(Pulse(), Want())

    def _takeover(self) -> None:
        """The process hangs for so long that its locks are lost, and another one syncs the connection."""
        self.under.cut_off()
        self.taken_over += 1
        self._run(Pulse(), Want())

    def _ask(self, who: int) -> None:
        """Another process is to forget somebody."""
        self._wish(who)
        self._run(Pulse(), Want(), kind="forget")

    def _wish(self, who: int) -> None:
        if (wished := wish(self, who)) is not None:
            self.erasure.wishes.append(wished)

    def _lose(self, number: int) -> None:
        """Delete calls past the program, and let them be found; only then a sync is owed the truth again."""
        if not number or not isinstance(self.under, OnPostgres):
            return
        held = sorted(row["call_id"] for row in self.under.calls())
        if not held:
            return
        lost = Random(f"{self.story.seed}:lost:{self.processes}").sample(held, min(number, len(held)))
        self.under.delete(lost)
        self.torn.update(lost)
        self.lost = True

    def _meddle(self, what: str, which: int) -> None:
        history, provider = self.world.history, self.story.provider
        if what == "add":
            agents = history.agents() if provider == "bimpe" else []
            if provider != "bimpe" or agents:
                agent = agents[which % len(agents)]["id"] if agents else None
                history.add(provider, at=history.now - timedelta(minutes=which), agent=agent)
        else:
            living = sorted((call.cursor, call.id) for call in history.living(provider))[-30:]
            if living:
                history.delete(provider, living[which % len(living)][1])
        self._see()

    def _run(self, pulse: Pulse, want: Want, *, kind: str = "sync", stop: Event | None = None) -> Outcome | None:
        """Run a process that syncs, audits, repairs or replays the connection; None if it was killed. Raises Broken."""
        self.processes += 1
        chance = Random(f"{self.story.seed}:process:{self.processes}")
        before = Before.of(self)
        clock = Clock(self.world.history, pulse, self.world.off)
        process = self.under.process(pulse, kind=ANOTHERS.get(kind, kind))
        connect = Connection(
            world=self.world,
            provider=self.account.provider,
            clock=clock,
            pulse=pulse,
            random=chance,
            book=process.book,
        )
        given: Surroundings[Any] = Surroundings(
            warehouse=process.warehouse,
            clock=clock,
            threads=NoThreads(),
            watcher=Silence(),
            stop=stop or Event(),
            trigger=Trigger.LIBRARY,
        )
        outcome: Outcome | None = None
        try:
            outcome = self._done(kind, want, connect=connect, given=given)
        except Killed:
            process.killed()
        finally:
            process.ended()
            sent = sum(client.requests for client in connect.clients)
            for client in connect.clients:
                client.close()
        self._see()
        self.effects += pulse.beats
        self.requests += sent
        done = str(want) if kind == "sync" else kind
        self.log.append(
            f"{self.world.history.now:%d %H:%M:%S} {done} -> {_words(outcome)}, {sent} requests, {pulse.beats} effects"
        )
        check(self, before=before, sent=sent)
        return outcome

    def _done(self, kind: str, want: Want, *, connect: Connection, given: Surroundings[Any]) -> Outcome:
        if kind == "audit":
            return audit_connection(self.account, connect=connect, given=given)
        if kind == "repair":
            return repair_connection(self.account, connect=connect, given=given)
        if kind == "forget":
            return self._forget(given, connect.pulse)
        if kind == "tidy":
            return self._gone_through(given, self.erasure.registered, anew=False)
        if kind == "replay":
            return replay_connection(self.account, given=given)
        return sync_connection(self.account, want=want, connect=connect, given=given)

    def _forget(self, given: Surroundings[Any], pulse: Pulse) -> Outcome:
        """Do what `etl forget` does for the wishes that it was not told of yet."""
        wishes = self.erasure.unregistered
        people = [one.person for one in wishes if one.person is not None]
        call_ids = [one.call_id for one in wishes if one.call_id is not None]
        self.under.register(people, call_ids, pulse=pulse)
        for one in wishes:
            one.is_registered = True
        return self._gone_through(given, self.erasure.registered if people else wishes, only=() if people else call_ids)

    def _gone_through(
        self, given: Surroundings[Any], wishes: list[Wish], *, only: Collection[str] = (), anew: bool = True
    ) -> Outcome:
        outcome = forget_connection(self.account, given=given, only=only, anew=anew)
        for one in wishes if outcome.error is None else ():
            one.is_done = True
        return outcome

    def _see(self) -> None:
        self.listed |= {call.id for call in self.world.history.living(self.story.provider)}


def _words(outcome: Outcome | None) -> str:
    if outcome is None:
        return "killed"
    error: EtlError | None = outcome.error
    return f"{outcome.status.value}{f' ({error.code}: {error})' if error else ''}"
