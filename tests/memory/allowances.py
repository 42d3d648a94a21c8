"""
A book of request allowances in memory (`etl.runs.allowances.AllowanceBook`), which promises what the protocol does and no more.

`tests/conformance` holds it to the same tests as Postgres.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from etl.errors import AccountBusy
from etl.runs.allowances import NOTHING, Found, Standing


@dataclass
class Page:
    """One account: what is kept of it, by whom it is used, and whether another one waits."""

    standing: Standing = NOTHING.standing
    owner: int | None = None
    is_wanted: bool = False


@dataclass
class Shared:
    """What all processes see."""

    pages: dict[str, Page] = field(default_factory=dict)
    taken: dict[str, MemoryAllowances] = field(default_factory=dict)


@dataclass(eq=False)
class MemoryAllowances:
    """One process's sight of the book."""

    shared: Shared = field(default_factory=Shared)
    saved: list[Standing] = field(default_factory=list)  # by this process, the oldest first

    def account(self, provider: str, token: str) -> str:
        return f"{len(provider)}-{hash((provider, token.strip()))}"

    def take(self, account: str, *, now: datetime) -> Found:
        if account in self.shared.taken:
            self.shared.pages.setdefault(account, Page()).is_wanted = True
            raise AccountBusy("another process is using the request allowance of its account.")
        self.shared.taken[account] = self
        return self._found(account)

    def claim(self, account: str, standing: Standing, *, found: Found, owner: int) -> None:
        if self._found(account) != found:
            raise AccountBusy("another process took over the request allowance of its account.")
        self.shared.pages[account] = Page(self._kept(standing), owner)

    def save(self, account: str, standing: Standing, *, owner: int) -> bool:
        page = self.shared.pages[account]
        if page.owner != owner:
            raise AccountBusy("another process took over the request allowance of its account.")
        page.standing = self._kept(standing)
        return page.is_wanted

    def leave(self, account: str, standing: Standing, *, owner: int) -> None:
        page = self.shared.pages.get(account)
        if page is not None and page.owner == owner:
            page.standing, page.owner = self._kept(standing), None
        self.killed(account)

    def killed(self, account: str) -> None:
        """Let the lock be free, as that of a process is that was killed or cut off."""
        if self.shared.taken.get(account) is self:
            del self.shared.taken[account]

    def _found(self, account: str) -> Found:
        page = self.shared.pages.get(account)
        return NOTHING if page is None else Found(page.standing, is_orphan=page.owner is not None)

    def _kept(self, standing: Standing) -> Standing:
        self.saved.append(standing._replace(memory=json.loads(json.dumps(standing.memory))))
        return self.saved[-1]
