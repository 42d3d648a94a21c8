"""The BimpeAI agents that exist at an instant: day by day they appear, are renamed and vanish, as the seed decides."""

from __future__ import annotations

from random import Random

from etl.sandbox.call import NEVER
from etl.sandbox.instants import DAY, HOUR
from etl.sandbox.lives.bimpe import NAMES, Agent
from etl.sandbox.lives.scene import cuid


class Roster:
    """The agents of the accounts `main` and `other` (one agent, for ever)."""

    def __init__(self, seed: int, begin: int, *, agents: int, changes: tuple[float, float, float]) -> None:
        self._seed = seed
        self._changes = changes
        self._planned = begin
        chance = Random(f"{seed}:agents")
        self._agents = [self._new(chance, "main", begin, number) for number in range(agents)]
        self._agents.append(self._new(chance, "other", begin, 0))
        self._drawn = agents

    def present(self, now: int, account: str) -> list[Agent]:
        """Return the agents that exist at `now`, oldest first."""
        return [agent for agent in self._agents if agent.account == account and agent.born <= now < agent.gone]

    def plan(self, hour: int) -> None:
        """Draw what happens to agents in the hour that begins at `hour`; hours must be drawn in order."""
        if hour < self._planned:
            return
        self._planned = hour + 1
        appear, rename, vanish = (share * HOUR / DAY for share in self._changes)
        chance = Random(f"{self._seed}:agents:{hour}")
        drawn = [chance.random() for _ in range(4)]
        at = hour + int(drawn[3] * HOUR)
        at -= at % 1000
        if drawn[0] < appear:
            self._agents.append(self._new(chance, "main", at, self._drawn))
            self._drawn += 1
        present = self.present(hour, "main")
        if present and drawn[1] < rename:
            agent = present[int(chance.random() * len(present))]
            agent.names.append((at, f"{agent.names[0][1]} (renamed)"))
        if len(present) > 1 and drawn[2] < vanish:
            present[int(chance.random() * len(present))].gone = at

    def add(self, now: int, name: str, *, account: str = "main") -> str:
        """Create an agent by hand; return its id."""
        agent = self._new(Random(f"{self._seed}:by hand:{len(self._agents)}"), account, now, 0)
        agent.names = [(now, name)]
        self._agents.append(agent)
        return agent.id

    def rename(self, now: int, agent: str, name: str) -> None:
        """Rename an agent now. Raise KeyError where there is none."""
        self._find(now, agent).names.append((now, name))

    def remove(self, now: int, agent: str) -> None:
        """Remove an agent now. Raise KeyError where there is none."""
        self._find(now, agent).gone = now

    def _find(self, now: int, agent: str) -> Agent:
        for one in self._agents:
            if one.id == agent and one.born <= now < one.gone:
                return one
        raise KeyError(f"bimpe has no agent {agent}")

    @staticmethod
    def _new(chance: Random, account: str, born: int, number: int) -> Agent:
        name = NAMES[number % len(NAMES)] + (f" {number // len(NAMES) + 1}" if number >= len(NAMES) else "")
        return Agent(id=cuid(chance), account=account, born=born, names=[(born, name)], gone=NEVER)
