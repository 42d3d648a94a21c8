"""
Who is forgotten, by the whole warehouse: the list of keyed hashes and erased calls, its key, and the receipts.

Every statement here is a transaction of its own. The hashes are written first, then every connection's row is moved: what
is cut off in between is done by the same command, run again.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from etl.errors import UsageError
from etl.records.persons import Person
from etl.records.shield import hash_of, proof_of
from etl.warehouse.database import Database
from etl.warehouse.loading.fence import INSTANT
from etl.warehouse.tables import (
    connections,
    erased_calls,
    erasure_key,
    erasure_receipts,
    erasures,
    numbers,
    people,
    runs,
)

_HAS_LIST = text("SELECT to_regclass('sync.erasure_key') IS NOT NULL")
_RECEIPT = text("SELECT CAST(gen_random_uuid() AS text)")
_PERSONAL = ("calls", "call_participants", "call_messages", "call_events", "call_history", "agents", "people", "numbers")
_OWN = ("rejected_records", "schema_drift", "runs", "audits", "connections", "person_daily", "pair_weekly")


class Erasure(NamedTuple):
    """A forgotten person: the keyed hash, what kind of address it is of, and since when."""

    hash: bytes
    kind: str
    erased_at: datetime


class ErasedCall(NamedTuple):
    """An erased call."""

    connection: str
    call_id: str
    erased_at: datetime


class Known(NamedTuple):
    """A connection that the warehouse knows, and the name of its provider."""

    connection: str
    provider: str


def check_key(database: Database) -> None:
    """
    Raise UsageError where persons were erased from the warehouse, and the key is missing, or another one than theirs.

    Whoever writes asks first. Where nothing was ever erased, no key is needed.
    """
    with database.begin() as session:
        if not session.execute(_HAS_LIST).scalar_one():
            return
        proof = session.execute(select(erasure_key.c.proof)).scalar()
    if proof is not None:
        _require_right(database.erasure_key, bytes(proof))


def _require_right(key: bytes | None, proof: bytes) -> None:
    if key is not None and hmac.compare_digest(proof_of(key), proof):
        return
    what = "is not set" if key is None else "is not the key that they were erased with"
    raise UsageError(
        f"Persons were erased from this warehouse, and warehouse.erasure_key {what}.",
        safe="Nothing was written: without the right key it cannot be known whose calls must not come back.",
        hint="Set warehouse.erasure_key (or ETL_WAREHOUSE__ERASURE_KEY) to the key that the erasures were made with. If it is "
        "lost: docs/erasure.md.",
    )


def known_connections(database: Database) -> list[Known]:
    """Return every connection that was ever synced, configured or not."""
    asked = select(connections.c.connection, connections.c.provider).order_by(connections.c.connection)
    with database.begin() as session:
        return [Known(*row) for row in session.execute(asked)]


def persons_to_erasures(key: bytes, persons: Collection[Person], *, at: datetime) -> list[Erasure]:
    """Return the hashes of persons."""
    return [Erasure(hash_of(key, person), person.kind.value, at) for person in persons]


def register(database: Database, key: bytes, *, people: Sequence[Erasure], calls: Sequence[ErasedCall]) -> None:
    """Keep these persons and calls out of every page from now on. Raises UsageError if others were erased with another key."""
    with database.begin() as session:
        session.execute(insert(erasure_key).values(proof=proof_of(key)).on_conflict_do_nothing())
        proofs = [bytes(one) for one in session.execute(select(erasure_key.c.proof)).scalars()]
        for proof in proofs:
            _require_right(key, proof)
    if people:
        with database.begin() as session:
            session.execute(insert(erasures).on_conflict_do_nothing(), [one._asdict() for one in people])
    if calls:
        with database.begin() as session:
            session.execute(insert(erased_calls).on_conflict_do_nothing(), [one._asdict() for one in calls])
    moved = update(connections).values(erasures=connections.c.erasures + 1)
    if not people:
        moved = moved.where(connections.c.connection.in_({one.connection for one in calls}))
    with database.begin() as session:
        session.execute(moved)


def now_of(database: Database) -> datetime:
    """Return the database's clock."""
    with database.begin() as session:
        instant: datetime = session.execute(select(INSTANT)).scalar_one()
        return instant


def listed(database: Database) -> tuple[bytes | None, list[Erasure], list[ErasedCall]]:
    """Return the key's proof (None: nothing was ever erased), and everybody and every call that is erased."""
    with database.begin() as session:
        proof = session.execute(select(erasure_key.c.proof)).scalar()
        persons = session.execute(select(erasures.c.hash, erasures.c.kind, erasures.c.erased_at).order_by(erasures.c.hash))
        people = [Erasure(bytes(one.hash), one.kind, one.erased_at) for one in persons]
        of_calls = select(erased_calls.c.connection, erased_calls.c.call_id, erased_calls.c.erased_at)
        calls = [ErasedCall(*row) for row in session.execute(of_calls.order_by(*of_calls.selected_columns[:2]))]
    return None if proof is None else bytes(proof), people, calls


class Deletions:
    """Implements `etl.runs.deleting.DeletionList`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def asked(self, connection: str) -> Sequence[str]:
        """Return the calls that are to be deleted at the provider, in the order of their ids."""
        table = erased_calls
        asked = select(table.c.call_id).where(table.c.connection == connection, table.c.deletion == "asked")
        with self._database.begin() as session:
            return list(session.execute(asked.order_by(table.c.call_id)).scalars())

    def done(self, connection: str, call_id: str) -> None:
        """Remember that a call is deleted there."""
        table = erased_calls
        with self._database.begin() as session:
            session.execute(
                update(table).where(table.c.connection == connection, table.c.call_id == call_id).values(deletion="done")
            )


def forget_dimensions(database: Database, names_somebody: Callable[[str], bool]) -> int:
    """Remove the rows of `people` and `numbers` that name somebody forgotten; return how many."""
    removed = 0
    for table in (people, numbers):
        (key,) = table.primary_key.columns
        with database.begin() as session:
            rows = session.execute(select(table)).mappings().all()
            gone = [row[key.name] for row in rows if any(names_somebody(str(one)) for one in row.values() if one is not None)]
            if gone:
                session.execute(delete(table).where(key.in_(gone)))
        removed += len(gone)
    return removed


def cut_messages(database: Database, names_somebody: Callable[[str], bool]) -> int:
    """Empty the error messages of runs that name somebody, which none should, but they quote what others say."""
    with database.begin() as session:
        told = session.execute(select(runs.c.id, runs.c.error_message).where(runs.c.error_message.is_not(None))).all()
        named = [run.id for run in told if names_somebody(run.error_message)]
        if named:
            session.execute(update(runs).where(runs.c.id.in_(named)).values(error_message=None))
    return len(named)


def open_receipt(database: Database, asked: str) -> str:
    """Begin a receipt, and return its name."""
    with database.begin() as session:
        receipt = str(session.execute(_RECEIPT).scalar_one())
        now = session.execute(select(INSTANT)).scalar_one()
        session.execute(insert(erasure_receipts).values(receipt=receipt, asked=asked, asked_at=now))
    return receipt


def close_receipt(database: Database, receipt: str, *, finished: bool, counts: Mapping[str, int]) -> Mapping[str, object]:
    """Write down what was done, and return the receipt; it is `finished` if everything was gone through."""
    table = erasure_receipts
    with database.begin() as session:
        now = session.execute(select(INSTANT)).scalar_one()
        done = {"finished_at": now} if finished else {}
        session.execute(update(table).where(table.c.receipt == receipt).values(**counts, **done))
        return dict(session.execute(select(table).where(table.c.receipt == receipt)).mappings().one())


def analyze(database: Database) -> None:
    """Have the planner's statistics made again: they hold the most common values of columns, and so addresses."""
    names = [*(f"public.{name}" for name in _PERSONAL), *(f"sync.{name}" for name in _OWN)]
    with database.autocommit() as session:
        session.exec_driver_sql(f"ANALYZE {', '.join(names)}")


def count_erased(database: Database) -> tuple[int, int]:
    """Return how many persons are forgotten, and how many calls are erased."""
    with database.begin() as session:
        persons = int(session.execute(select(func.count()).select_from(erasures)).scalar_one())
        return persons, int(session.execute(select(func.count()).select_from(erased_calls)).scalar_one())
