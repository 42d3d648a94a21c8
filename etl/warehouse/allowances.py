"""Accounts' request allowances on Postgres, as `etl.runs.allowances.AllowanceBook` asks for them: a row and a lock for each."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from etl.errors import AccountBusy, WarehouseError
from etl.runs.allowances import NOTHING, Found, Standing
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks
from etl.warehouse.tables import account_key, allowances

_SAFE = "Nothing was asked for, and nothing was touched."
_HINT = (
    "Wait for it to end: it lets others have the account after ten minutes at the latest, and the next run continues. "
    "Connections with one token share it side by side if one command or one worker syncs them."
)


class AccountNames:
    """Names accounts: the same name for the same provider and token, from which neither can be found. Shared by threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key: bytes | None = None

    def name(self, provider: str, token: str) -> str:
        """Return the name of an account. Raises WarehouseError."""
        # The hash is made here and not by the server, so that a token stands in no statement, and so in no log of one.
        return hmac.digest(self._secret(), f"{provider}\0{token.strip()}".encode(), "sha256").hex()

    def _secret(self) -> bytes:
        if self._key is None:
            with self._database.begin() as session:
                key = session.execute(select(account_key.c.key)).scalar_one_or_none()
            if key is None:
                raise WarehouseError(
                    "The key by which accounts are told apart is missing from sync.account_key.",
                    safe="Nothing was asked for.",
                    hint="Restore the table's one row from a backup, or insert 32 random bytes: what is remembered of request "
                    "allowances begins anew.",
                )
            self._key = bytes(key)
        return self._key


class Allowances:
    """Implements `AllowanceBook`, whose methods are documented there. Shared by the threads of a process."""

    def __init__(self, database: Database, locks: Locks) -> None:
        self._database = database
        self._locks = locks
        self._names = AccountNames(database)

    def account(self, provider: str, token: str) -> str:
        return self._names.name(provider, token)

    def take(self, account: str, *, now: datetime) -> Found:
        if not self._locks.try_acquire(_lock(account)):
            self.want(account, now=now)
            raise AccountBusy("another process is using the request allowance of its account.", safe=_SAFE, hint=_HINT)
        with self._database.begin() as session:
            row = session.execute(select(allowances).where(allowances.c.account == account)).one_or_none()
        if row is None:
            return NOTHING
        standing = Standing(row.memory, row.paused_until, row.day, row.day_requests, row.written_at)
        return Found(standing, is_orphan=row.owner is not None)

    def want(self, account: str, *, now: datetime) -> None:
        """Note that somebody waits for an account that is in use: whoever has it gives way after a while."""
        wanted = insert(allowances).values(account=account, wanted_at=now)
        with self._database.begin() as session:
            session.execute(wanted.on_conflict_do_update(index_elements=["account"], set_={"wanted_at": now}))

    def claim(self, account: str, standing: Standing, *, owner: int) -> None:
        values = {**_columns(standing), "owner": owner, "wanted_at": None}
        claimed = insert(allowances).values(account=account, **values)
        with self._database.begin() as session:
            session.execute(claimed.on_conflict_do_update(index_elements=["account"], set_=values))

    def save(self, account: str, standing: Standing, *, owner: int) -> bool:
        with self._database.begin() as session:
            row = session.execute(_written(account, owner, **_columns(standing)).returning(allowances.c.wanted_at)).one_or_none()
        if row is None:
            raise AccountBusy(
                "another process took over the request allowance of its account.",
                safe="What was loaded before stays; nothing more was asked for.",
                hint="Nothing needs to be done: this process was stopped or cut off, and the next run continues.",
            )
        return row.wanted_at is not None

    def leave(self, account: str, standing: Standing, *, owner: int) -> None:
        try:
            with self._database.begin() as session:
                session.execute(_written(account, owner, **_columns(standing), owner=None, wanted_at=None))
        finally:
            self._locks.release(_lock(account))


def _lock(account: str) -> str:
    return f"account:{account}"  # no connection can have such a name


def _written(account: str, owned_by: int, **values: Any) -> Any:
    return update(allowances).where(allowances.c.account == account, allowances.c.owner == owned_by).values(**values)


def _columns(standing: Standing) -> dict[str, Any]:
    return {
        "memory": standing.memory,
        "paused_until": standing.paused_until,
        "day": standing.day,
        "day_requests": standing.requests,
        "written_at": standing.at,
    }
