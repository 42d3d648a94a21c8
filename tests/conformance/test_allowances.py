"""The book of request allowances, in memory and in Postgres: what is kept of an account, and who may use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from etl.errors import AccountBusy
from etl.runs.allowances import NOTHING, AllowanceBook, Found, Standing
from etl.system import SystemThreads
from etl.warehouse.allowances import Allowances
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from tests.memory.allowances import MemoryAllowances, Shared

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
_NUMBERS = count(1)


def standing(requests: int, **given: Any) -> Standing:
    """Return a standing after so many requests."""
    facts: dict[str, Any] = {"memory": {"answered": [[1, 2]]}, "paused_until": None, "day": date(2026, 3, 15), "at": NOW}
    return Standing(requests=requests, **(facts | given))


@dataclass
class Two:
    """Two processes and one book."""

    mine: AllowanceBook
    theirs: AllowanceBook
    my_locks: Locks | MemoryAllowances

    def kill_mine(self, account: str) -> None:
        """Let the lock of mine be free, as after a kill."""
        if isinstance(self.my_locks, MemoryAllowances):
            self.my_locks.killed(account)
        else:
            self.my_locks.close()


@pytest.fixture(params=["memory", "postgres"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    """Give two processes that have taken nothing."""
    if request.param == "memory":
        shared = Shared()
        mine = MemoryAllowances(shared)
        yield Two(mine, MemoryAllowances(shared), mine)
        return
    database: Database = request.getfixturevalue("shared_database")
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(Locks(database, SystemThreads())) for _ in range(2))
        yield Two(Allowances(database, mine), Allowances(database, theirs), mine)


@pytest.fixture
def account(two: Two) -> str:
    """Give an account that was never used."""
    return two.mine.account("acme", f"token-{next(_NUMBERS)}")


def test_an_account_is_a_provider_and_a_token(two: Two) -> None:
    """Whoever asks gets the same name; blanks around a token are none of it, and nothing in the name says what it was."""
    name = two.mine.account("acme", "sk-made-up")

    assert name == two.theirs.account("acme", " sk-made-up\n")
    assert len({name, two.mine.account("acme", "sk-other"), two.mine.account("other", "sk-made-up")}) == 3
    assert ("sk-made-up" in name, "acme" in name) == (False, False)


def test_of_an_account_that_was_never_used_nothing_is_kept(two: Two, account: str) -> None:
    """Its first owner begins with a whole allowance."""
    assert two.mine.take(account, now=NOW) == NOTHING


def test_what_an_owner_leaves_the_next_one_finds(two: Two, account: str) -> None:
    """As it was kept last, in every part; nobody was killed."""
    pause = NOW + timedelta(hours=1)
    left = standing(7, memory={"answered": [[5, 7]], "daily": None}, paused_until=pause, at=NOW + timedelta(seconds=9))
    two.mine.claim(account, standing(0), found=two.mine.take(account, now=NOW), owner=1)
    waits = two.mine.save(account, standing(3), owner=1)
    two.mine.leave(account, left, owner=1)

    assert (waits, two.theirs.take(account, now=NOW)) == (False, Found(left))


def test_one_process_at_a_time_uses_an_account(two: Two, account: str) -> None:
    """The other is told so, whether or not the first one has written anything; other accounts are free."""
    other = two.mine.account("acme", f"token-{next(_NUMBERS)}")
    found = two.mine.take(account, now=NOW)
    with pytest.raises(AccountBusy):
        two.theirs.take(account, now=NOW)
    two.mine.claim(account, standing(0), found=found, owner=1)
    with pytest.raises(AccountBusy):
        two.theirs.take(account, now=NOW)
    two.theirs.take(other, now=NOW)
    two.mine.leave(account, standing(1), owner=1)

    assert two.theirs.take(account, now=NOW) == Found(standing(1))


def test_an_owner_is_told_that_another_process_waits(two: Two, account: str) -> None:
    """From the next time it saves, until a new owner begins."""
    two.mine.claim(account, standing(0), found=two.mine.take(account, now=NOW), owner=1)
    with pytest.raises(AccountBusy):
        two.theirs.take(account, now=NOW)
    told = [two.mine.save(account, standing(number), owner=1) for number in range(2)]
    two.mine.leave(account, standing(2), owner=1)
    two.theirs.claim(account, standing(2), found=two.theirs.take(account, now=NOW), owner=2)

    assert (told, two.theirs.save(account, standing(3), owner=2)) == ([True, True], False)


def test_an_account_whose_owner_was_killed_is_an_orphan(two: Two, account: str) -> None:
    """What it had saved last is there; it is one until somebody has left it in order."""
    two.mine.claim(account, standing(0), found=two.mine.take(account, now=NOW), owner=1)
    two.mine.save(account, standing(3), owner=1)
    two.kill_mine(account)
    found = two.theirs.take(account, now=NOW)
    two.theirs.claim(account, standing(4), found=found, owner=2)
    two.theirs.leave(account, standing(5), owner=2)

    assert (found, two.mine.take(account, now=NOW)) == (Found(standing(3), is_orphan=True), Found(standing(5)))


def test_an_owner_that_was_cut_off_neither_writes_nor_goes_on(two: Two, account: str) -> None:
    """It lost its lock without knowing; what its successor keeps stands, and it has to stop."""
    two.mine.claim(account, standing(0), found=two.mine.take(account, now=NOW), owner=1)
    two.kill_mine(account)
    two.theirs.claim(account, standing(4), found=two.theirs.take(account, now=NOW), owner=2)
    with pytest.raises(AccountBusy):
        two.mine.save(account, standing(9), owner=1)
    two.mine.leave(account, standing(9), owner=1)
    with pytest.raises(AccountBusy):
        two.mine.take(account, now=NOW)
    two.theirs.leave(account, standing(5), owner=2)

    assert two.mine.take(account, now=NOW) == Found(standing(5))


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("in_order", [False, True])
def test_who_was_cut_off_before_it_was_the_owner_becomes_none(two: Two, account: str, used_before: bool, in_order: bool) -> None:
    """What was found of the account is no longer so: another process has used it meanwhile, and may still."""
    if used_before:
        two.mine.claim(account, standing(0), found=two.mine.take(account, now=NOW), owner=1)
        two.mine.leave(account, standing(2), owner=1)
    found = two.mine.take(account, now=NOW)
    two.kill_mine(account)
    two.theirs.claim(account, standing(4), found=two.theirs.take(account, now=NOW), owner=2)
    left = standing(5, at=NOW + timedelta(seconds=9))
    if in_order:
        two.theirs.leave(account, left, owner=2)
    with pytest.raises(AccountBusy):
        two.mine.claim(account, standing(2), found=found, owner=3)
    two.mine.leave(account, standing(2), owner=3)
    if not in_order:
        assert two.theirs.save(account, left, owner=2) is False
        two.theirs.leave(account, left, owner=2)

    assert two.theirs.take(account, now=NOW) == Found(left)
