"""
What happened at the providers up to a virtual now, which can be moved forward.

A history is a function of its seed and its clock: for each hour, it draws the calls that begin in it with a plan of their whole
lives. So the same seed and the same now give the same history, however often it is read and in whatever steps the clock moved.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from etl.sandbox.births import ACCOUNTS, PROVIDERS, Births
from etl.sandbox.call import JSON, NEVER, Call, decode, decode_drawn, encode
from etl.sandbox.instants import HOUR, count, moment, read
from etl.sandbox.ledger import Ledger
from etl.sandbox.lives.scene import Scene
from etl.sandbox.roster import Roster
from etl.sandbox.shelf import Shelf

CURSORS = {
    "tuple": "ended_at",
    "bimpe": "created_on",
    "salpre": "started_at",
    "krosai": "created_at",
    "aircall": "started_at",
    "twilio": "start_time",
}
IDS = {"tuple": "id", "bimpe": "id", "salpre": "call_id", "krosai": "id", "aircall": "id", "twilio": "sid"}

CALLS_PER_DAY = {"tuple": 400.0, "bimpe": 200.0, "salpre": 150.0, "krosai": 200.0, "aircall": 200.0, "twilio": 200.0}
LATENESS = {
    "tuple": timedelta(hours=12),
    "bimpe": timedelta(minutes=90),
    "salpre": timedelta(minutes=90),
    "krosai": timedelta(minutes=90),
    "aircall": timedelta(hours=12),
    "twilio": timedelta(hours=12),
}

_ADDED = 300_000_000
"""Calls added by hand are numbered from here, so that the numbers of drawn calls do not change."""


class History:
    """
    The calls of all providers, each with an account `main` and a small account `other`.

    `start` is where the virtual clock begins (default: ten days before real now); `past` is how much history lies before it.
    `calls_per_day` and `lateness` (the latest that a call becomes visible after its cursor, and that a finished call's list
    record changes or a call vanishes) may name some providers only. `late`, `vanishing`, `amended`, `long`: shares of calls
    that become visible late, vanish, are changed after their end, last for hours or days. `agents`: BimpeAI's agents at the
    beginning; `agent_changes`: how many appear, are renamed and vanish per day. Safe to share by threads.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        start: datetime | None = None,
        past: timedelta = timedelta(days=2),
        calls_per_day: Mapping[str, float] | None = None,
        lateness: Mapping[str, timedelta] | None = None,
        late: float = 0.15,
        vanishing: float = 0.02,
        amended: float = 0.05,
        long: float = 0.02,
        agents: int = 2,
        agent_changes: tuple[float, float, float] = (0.2, 0.2, 0.05),
        may_pass_real_time: bool = False,
    ) -> None:
        if start is None:
            start = (datetime.now(UTC) - timedelta(days=10)).replace(minute=0, second=0, microsecond=0)
        rates = CALLS_PER_DAY | dict(calls_per_day or {})
        bounds = LATENESS | dict(lateness or {})
        _known("provider", [*rates, *bounds], PROVIDERS)
        self.seed = seed
        self.lock = threading.RLock()
        self._may_pass_real_time = may_pass_real_time
        self._now = count(start)
        self._check(self._now)
        self._hour = count(start - past) // HOUR * HOUR
        self._added = 0
        self.roster = Roster(seed, self._hour, agents=agents, changes=agent_changes)
        self._ledger = Ledger()
        scenes = {}
        for provider in PROVIDERS:
            bound = bounds[provider] // timedelta(microseconds=1)
            for account in ACCOUNTS:
                scenes[provider, account] = Scene(
                    account=account, lateness=bound, restless=bound, late=late, vanishing=vanishing, amended=amended, long=long
                )
        self._births = Births(seed, rates=rates, scenes=scenes, roster=self.roster)
        self._evolve()

    @property
    def now(self) -> datetime:
        """The virtual now."""
        return moment(self._now)

    @property
    def micros(self) -> int:
        """The virtual now in microseconds since 1970."""
        return self._now

    def advance(self, step: timedelta) -> datetime:
        """Move the virtual now forward by `step`, applying everything that happens in between. Return the new now."""
        with self.lock:
            return self.advance_to(self.now + step)

    def advance_to(self, instant: datetime) -> datetime:
        """Move the virtual now to `instant`. Raise ValueError if that is before it, or after real now unless that was allowed."""
        with self.lock:
            target = count(instant)
            if target < self._now:
                raise ValueError(f"the clock does not go back: it is {self.now.isoformat()} already")
            self._check(target)
            self._now = target
            self._evolve()
            return self.now

    def catch_up(self, instant: datetime) -> None:
        """Move to `instant` unless the clock is there already; for a history that follows real time."""
        with self.lock:
            if count(instant) > self._now:
                self.advance_to(instant)

    # What is true now

    def truth(self, provider: str, agent: str | None = None, *, account: str = "main") -> list[JSON]:
        """
        Return the list records of the calls that live now, oldest first, as served.

        For BimpeAI those of `agent`, or of all agents that exist. A KrosAI `recording_url` stands here without the signature
        that differs in every response. Records added as undecodable text are left out.
        """
        with self.lock:
            records: list[JSON] = []
            for call in self.living(provider, agent, account=account):
                records += _decoded(call.listed()) if call.by_hand else [decode_drawn(call.listed())]
            return records

    def living(self, provider: str, agent: str | None = None, *, account: str = "main") -> list[Call]:
        """Return the calls that live now, oldest first."""
        _known("provider", [provider], PROVIDERS)
        with self.lock:
            if provider != "bimpe":
                return list(self.shelf(provider, account=account).calls)
            agents = [agent] if agent is not None else [one.id for one in self.roster.present(self._now, account)]
            return [call for one in agents for call in self.shelf(provider, account=account, agent=one).calls]

    def detail(self, provider: str, call_id: str | int, agent: str | None = None, *, account: str = "main") -> JSON:
        """Return all fields of a call that lives now, including those of its detail; None if there is no such call."""
        with self.lock:
            call = self.find(provider, str(call_id), agent, account=account)
            return None if call is None else decode(call.detailed())

    def agents(self, *, account: str = "main") -> list[JSON]:
        """Return the BimpeAI agents that exist now, oldest first."""
        with self.lock:
            return [agent.record(self._now) for agent in self.roster.present(self._now, account)]

    def find(self, provider: str, call_id: str, agent: str | None = None, *, account: str = "main") -> Call | None:
        """Return a call that is listed; of any agent that ever was if none is named."""
        return self._ledger.find(provider, account, call_id, agent)

    def shelf(self, provider: str, *, account: str, agent: str = "") -> Shelf:
        """Return the calls that are listed now."""
        return self._ledger.shelf(provider, account, agent)

    # By hand

    def add(
        self,
        provider: str,
        *,
        number: int = 1,
        at: datetime | None = None,
        visible_at: datetime | None = None,
        agent: str | None = None,
        account: str = "main",
    ) -> list[str]:
        """
        Add that many drawn calls that all begin at `at` (Tuple: that end there; default now); return their ids.

        They become visible at `visible_at` (default: at once), and do not vanish by themselves.
        """
        _known("provider", [provider], PROVIDERS)
        with self.lock:
            instant = self._now if at is None else count(at)
            calls = []
            for _ in range(number):
                self._added += 1
                chosen = self._agent(provider, agent, account)
                call = self._births.one(provider, account, number=_ADDED + self._added, at=instant, agent=chosen)
                call.visible_at = self._now if visible_at is None else count(visible_at)
                call.deleted_at = NEVER
                calls.append(call)
            self._ledger.enter(calls, self._now)
            return [call.id for call in calls]

    def add_records(
        self,
        provider: str,
        records: Iterable[JSON],
        *,
        at: datetime | None = None,
        visible_at: datetime | None = None,
        agent: str | None = None,
        account: str = "main",
    ) -> list[str]:
        """
        Add records as they are, for ever; return the ids under which `delete` and `replace` know them.

        A record is any JSON value, or `bytes`: its JSON text, which need not be valid. It stands in the list at `at`, else at the
        instant of its cursor field, else at now. A record without an id gets one that is not served.
        """
        _known("provider", [provider], PROVIDERS)
        with self.lock:
            calls = []
            for record in records:
                self._added += 1
                text = record if isinstance(record, bytes) else encode(record)
                seen = next(iter(_decoded(text)), None)
                fields = seen if isinstance(seen, dict) else {}
                own, cursor = fields.get(IDS[provider]), read(fields.get(CURSORS[provider]))
                call = Call.written(
                    text,
                    provider=provider,
                    account=account,
                    id=f"added-{self._added}" if own is None else str(own),
                    cursor=count(at) if at is not None else self._now if cursor is None else cursor,
                    visible_at=self._now if visible_at is None else count(visible_at),
                    order=_ADDED + self._added,
                    agent=self._agent(provider, agent, account),
                )
                call.by_hand = True
                calls.append(call)
            self._ledger.enter(calls, self._now)
            return [call.id for call in calls]

    def delete(self, provider: str, call_id: str | int, *, account: str = "main") -> None:
        """Remove a call. Raise KeyError where there is none."""
        with self.lock:
            call = self._existing(provider, call_id, account)
            call.deleted_at = self._now
            self._ledger.remove(call)

    def restore(self, provider: str, call_id: str | int, *, account: str = "main") -> None:
        """List a removed call again. Raise KeyError where there is none."""
        with self.lock:
            self._ledger.restore(provider, account, str(call_id), self._now)

    def change(self, provider: str, call_id: str | int, changes: Mapping[str, JSON], *, account: str = "main") -> None:
        """Set fields of a call now; it keeps its place in the list. Raise KeyError where there is no such call."""
        with self.lock:
            self._existing(provider, call_id, account).rewrite(changes)

    def replace(self, provider: str, call_id: str | int, record: JSON, *, account: str = "main") -> None:
        """Serve this record (or `bytes`: this text) in the call's place, for ever. Raise KeyError where there is no such call."""
        with self.lock:
            self._existing(provider, call_id, account).rewrite_text(record if isinstance(record, bytes) else encode(record))

    def _check(self, target: int) -> None:
        if not self._may_pass_real_time and target > count(datetime.now(UTC)):
            raise ValueError("the virtual clock may not pass real time; start earlier, or pass may_pass_real_time=True")

    def _evolve(self) -> None:
        while self._hour <= self._now:
            self._ledger.enter(self._births.hour(self._hour), self._now)
            self._hour += HOUR
        self._ledger.move(self._now)

    def _agent(self, provider: str, agent: str | None, account: str) -> str:
        if provider != "bimpe":
            return ""
        present = [one.id for one in self.roster.present(self._now, account)]
        _known("agent", [agent or present[0]], present)
        return agent or present[0]

    def _existing(self, provider: str, call_id: str | int, account: str) -> Call:
        call = self.find(provider, str(call_id), account=account)
        if call is None:
            raise KeyError(f"{provider} has no call {call_id}")
        return call


def _decoded(text: bytes) -> list[JSON]:
    try:
        return [decode(text)]
    except ValueError:
        return []


def _known(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    for one in given:
        if one not in known:
            raise ValueError(f"no {kind} {one!r}; there are {', '.join(known)}")
