"""Draws the calls that begin in each hour, for each provider. What is visible of them at an instant is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from etl.sandbox.call import Call
from etl.sandbox.instants import DAY, HOUR, MINUTE
from etl.sandbox.lives import aircall, bimpe, krosai, salpre, twilio
from etl.sandbox.lives import tuple as pairing
from etl.sandbox.lives.scene import Scene
from etl.sandbox.roster import Roster

PROVIDERS = ("tuple", "bimpe", "salpre", "krosai", "aircall", "twilio")
ACCOUNTS = ("main", "other")
_SHARE_OF_OTHER = 0.1
_SHARE_OF_TIES = 0.02
_APART = {"tuple": 500_000_000, "salpre": 500_000, "aircall": 500_000_000}
"""The offset of call numbers of the account `other` from those of `main`."""


class Births:
    """Draws calls. Hours must be drawn in order, since ids count up."""

    def __init__(self, seed: int, *, rates: Mapping[str, float], scenes: Mapping[tuple[str, str], Scene], roster: Roster) -> None:
        self._seed = seed
        self._rates = rates
        self._scenes = scenes
        self._roster = roster
        self._numbers = {(provider, account): 0 for provider in PROVIDERS for account in ACCOUNTS}

    def hour(self, hour: int) -> list[Call]:
        """Draw every call that begins in the hour which begins at `hour`."""
        self._roster.plan(hour)
        calls: list[Call] = []
        for provider in PROVIDERS:
            for account in ACCOUNTS:
                calls += self._begun(provider, account, hour)
        return calls

    def one(self, provider: str, account: str, *, number: int, at: int, agent: str) -> Call:
        """Draw one call that begins at `at` (Tuple: ends there)."""
        chance = Random(f"{self._seed}:by hand:{number}")
        if provider != "tuple":
            return self._draw(provider, account, chance, begin=at, number=number, agent=agent, same_end=None)
        begin = at - int(chance.uniform(1, 90) * MINUTE)
        return pairing.live(chance, self._scenes[provider, account], begin=begin, number=number, order=number, same_end=at)

    def _begun(self, provider: str, account: str, hour: int) -> list[Call]:
        rate = self._rates[provider] * (1.0 if account == "main" else _SHARE_OF_OTHER) * HOUR / DAY
        chance = Random(f"{self._seed}:{provider}:{account}:{hour}")
        size = int(rate) + (chance.random() < rate % 1)
        begins = sorted(hour + int(chance.random() * HOUR) for _ in range(size))
        calls: list[Call] = []
        for fresh in begins:
            tied = calls[-1].cursor if calls and chance.random() < _SHARE_OF_TIES else None
            begin = fresh if tied is None or provider == "tuple" else tied
            agent = ""
            if provider == "bimpe":
                present = self._roster.present(begin, account)
                if not present:
                    continue
                agent = present[int(chance.random() * len(present))].id
            number = self._numbers[provider, account]
            self._numbers[provider, account] += 1
            same_end = tied if tied is not None and tied > begin else None
            calls.append(self._draw(provider, account, chance, begin=begin, number=number, agent=agent, same_end=same_end))
        return calls

    def _draw(
        self, provider: str, account: str, chance: Random, *, begin: int, number: int, agent: str, same_end: int | None
    ) -> Call:
        scene = self._scenes[provider, account]
        apart = 0 if account == "main" else _APART.get(provider, 0)
        if provider == "tuple":
            return pairing.live(chance, scene, begin=begin, number=number + apart, order=number, same_end=same_end)
        if provider == "salpre":
            return salpre.live(chance, scene, begin=begin, number=number + apart, order=number)
        if provider == "krosai":
            return krosai.live(chance, scene, begin=begin, order=number)
        if provider == "aircall":
            return aircall.live(chance, scene, begin=begin, number=number + apart, order=number)
        if provider == "twilio":
            return twilio.live(chance, scene, begin=begin, number=number, order=number)
        return bimpe.live(chance, scene, begin=begin, order=number, agent=agent)
