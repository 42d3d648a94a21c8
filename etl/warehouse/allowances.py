"""Accounts' request allowances on Postgres, as `etl.runs.allowances.AllowanceBook` asks for them: a row and a lock for each."""

from __future__ import annotations

import hmac
from datetime import datetime

from psycopg.types.json import Jsonb

from etl.errors import AccountBusy, WarehouseError
from etl.runs.allowances import NOTHING, Found, Standing
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks

_READ = "SELECT memory, paused_until, day, day_requests, written_at, owner FROM sync.allowances WHERE account = %s"
_CLAIM = """
INSERT INTO sync.allowances (memory, paused_until, day, day_requests, written_at, owner, account)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (account) DO UPDATE SET memory = excluded.memory, paused_until = excluded.paused_until, day = excluded.day,
    day_requests = excluded.day_requests, written_at = excluded.written_at, owner = excluded.owner, wanted_at = NULL
WHERE allowances.written_at IS NOT DISTINCT FROM %s AND (allowances.owner IS NOT NULL) = %s
RETURNING owner
"""
_WRITTEN = "UPDATE sync.allowances SET memory = %s, paused_until = %s, day = %s, day_requests = %s, written_at = %s"
_SAVE = f"{_WRITTEN} WHERE account = %s AND owner = %s RETURNING wanted_at"
_LEAVE = f"{_WRITTEN}, owner = NULL, wanted_at = NULL WHERE account = %s AND owner = %s"
_WANT = """
INSERT INTO sync.allowances (account, wanted_at) VALUES (%s, %s)
ON CONFLICT (account) DO UPDATE SET wanted_at = excluded.wanted_at
"""
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
            with self._database.plain() as session:
                row = session.execute("SELECT key FROM sync.account_key").fetchone()
            if row is None:
                raise WarehouseError(
                    "The key by which accounts are told apart is missing from sync.account_key.",
                    safe="Nothing was asked for.",
                    hint="Restore the table's one row from a backup, or insert 32 random bytes: what is remembered of request "
                    "allowances begins anew.",
                )
            self._key = bytes(row[0])
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
        with self._database.plain() as session:
            row = session.execute(_READ, (account,)).fetchone()
        if row is None:
            return NOTHING
        *standing, owner = row
        return Found(Standing(*standing), is_orphan=owner is not None)

    def want(self, account: str, *, now: datetime) -> None:
        """Note that somebody waits for an account that is in use: whoever has it gives way after a while."""
        with self._database.plain() as session:
            session.execute(_WANT, (account, now))

    def claim(self, account: str, standing: Standing, *, found: Found, owner: int) -> None:
        with self._database.plain() as session:
            values = (*_values(standing), owner, account, found.standing.at, found.is_orphan)
            if session.execute(_CLAIM, values).fetchone() is None:
                raise _taken_over()

    def save(self, account: str, standing: Standing, *, owner: int) -> bool:
        with self._database.plain() as session:
            row = session.execute(_SAVE, (*_values(standing), account, owner)).fetchone()
        if row is None:
            raise _taken_over()
        return row != (None,)

    def leave(self, account: str, standing: Standing, *, owner: int) -> None:
        try:
            with self._database.plain() as session:
                session.execute(_LEAVE, (*_values(standing), account, owner))
        finally:
            self._locks.release(_lock(account))


def _taken_over() -> AccountBusy:
    return AccountBusy(
        "another process took over the request allowance of its account.",
        safe="What was loaded before stays; nothing more was asked for.",
        hint="Nothing needs to be done: this process was stopped or cut off, and the next run continues.",
    )


def _lock(account: str) -> str:
    return f"account:{account}"  # no connection can have such a name


def _values(standing: Standing) -> tuple[object, ...]:
    return (Jsonb(standing.memory), *standing[1:])
