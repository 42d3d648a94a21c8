"""The key by which a warehouse tells accounts apart: its own, made with it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from etl.errors import WarehouseError
from etl.system import SystemThreads
from etl.warehouse import schema
from etl.warehouse.allowances import Allowances
from etl.warehouse.database import Database
from etl.warehouse.locks import Locks


def name(database: Database) -> str:
    """Return what an account is called in a warehouse."""
    with Locks(database, SystemThreads()) as locks:
        return Allowances(database, locks).account("acme", "sk-made-up")


def test_every_warehouse_has_a_key_of_its_own(empty_database: Database) -> None:
    """32 bytes; the same account has another name in a warehouse with another key."""
    schema.migrate(empty_database)
    with empty_database.begin() as session:
        (first,) = session.execute(text("SELECT key FROM sync.account_key")).scalars()
    mine = name(empty_database)
    schema.downgrade(empty_database, "base")
    schema.migrate(empty_database)
    with empty_database.begin() as session:
        (second,) = session.execute(text("SELECT key FROM sync.account_key")).scalars()

    assert (len(first), len(second), first == second, mine == name(empty_database)) == (32, 32, False, False)


def test_a_warehouse_without_its_key_says_what_to_do(database: Database) -> None:
    """Nothing is asked for under a name that the next run would not find."""
    with database.begin() as session:
        session.execute(text("DELETE FROM sync.account_key"))
    with pytest.raises(WarehouseError, match=r"sync\.account_key"):
        name(database)
